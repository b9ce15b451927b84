from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from mm3dpretrain.ops import match_points, start_matching

METHODS = ['hungarian', 'nearest', 'mutual_nn']


def naive_costs(source, target):
    """Distances as loops, float64 (N, M)."""
    source, target = source.double(), target.double()
    return [[float((s - t).pow(2).sum().sqrt()) for t in target] for s in source]


def brute_force(cost):
    """The cheapest of all one-to-one assignments."""
    rows, columns = range(len(cost)), range(len(cost[0]))
    return min(permutations(columns, len(cost)), key=lambda p: sum(cost[r][p[r]] for r in rows))


def naive_nearest(cost):
    return [min(range(len(row)), key=row.__getitem__) for row in cost]


def naive_mutual(cost):
    """Index and whether it is mutual."""
    forth, back = naive_nearest(cost), naive_nearest(list(zip(*cost)))
    return [(j, back[j] == i) for i, j in enumerate(forth)]


@pytest.mark.parametrize('num_targets', [5, 7])
def test_hungarian_is_the_best_of_all(num_targets):
    source, target = torch.randn(3, 5, 3), torch.randn(3, num_targets, 3)
    match = match_points(source, target)
    assert match.index.dtype == torch.int64 and match.valid.all()
    for sample in range(3):
        cost = naive_costs(source[sample], target[sample])
        best = brute_force(cost)
        assert match.index[sample].tolist() == list(best)
        expected = [cost[i][j] for i, j in enumerate(best)]
        np.testing.assert_allclose(match.distance[sample], expected, rtol=1e-5)


def test_hungarian_parity(golden):
    ref = {k: torch.from_numpy(v) for k, v in golden('simipu/hungarian.npz').items()}
    match = match_points(ref['loc_ori'], ref['loc_to_ori'])
    assert torch.equal(match.index, ref['assignment'].long())
    torch.testing.assert_close(match.distance.sum(1), ref['total_cost'])
    from mm3dpretrain.ops import gather_points

    rows = gather_points(ref['features_t'].transpose(1, 2).contiguous(), match.index)
    assert torch.equal(rows.flatten(0, 1), ref['target_features'])


def test_more_sources_than_targets():
    match = match_points(torch.randn(2, 6, 3), torch.randn(2, 4, 3))
    assert match.valid.sum(1).tolist() == [4, 4]
    for sample in range(2):
        partners = match.index[sample][match.valid[sample]]
        assert sorted(partners.tolist()) == [0, 1, 2, 3]
    assert (match.index[~match.valid] == 0).all() and (match.distance[~match.valid] == 0).all()


def test_nearest_and_mutual_equal_naive():
    source, target = torch.randn(2, 30, 3), torch.randn(2, 23, 3)
    nearest, mutual = (match_points(source, target, m) for m in ('nearest', 'mutual_nn'))
    assert nearest.valid.all() and 0 < mutual.valid.sum() < mutual.valid.numel()
    for sample in range(2):
        cost = naive_costs(source[sample], target[sample])
        assert nearest.index[sample].tolist() == naive_nearest(cost)
        for i, (j, is_mutual) in enumerate(naive_mutual(cost)):
            assert bool(mutual.valid[sample, i]) == is_mutual
            assert mutual.index[sample, i] == (j if is_mutual else 0)


@pytest.mark.parametrize('method', METHODS)
def test_a_permutation_is_found(method):
    xyz = torch.randn(2, 40, 3)
    order = torch.stack([torch.randperm(40) for _ in range(2)])
    shuffled = xyz.gather(1, order[..., None].expand(-1, -1, 3))
    match = match_points(xyz, shuffled, method)
    assert match.valid.all() and torch.equal(match.index, order.argsort(1))
    assert torch.equal(match_points(xyz, xyz, method).index[0], torch.arange(40))


@pytest.mark.parametrize('method', METHODS)
def test_limit(method):
    source = torch.zeros(1, 2, 3)
    source[0, 1] = 10
    target = source.clone()
    target[0, 1, 0] += 2.0
    assert match_points(source, target, method).valid.tolist() == [[True, True]]
    assert match_points(source, target, method, max_distance=2.0).valid.all()
    match = match_points(source, target, method, max_distance=1.99)
    assert match.valid.tolist() == [[True, False]] and match.index[0, 1] == 0


def test_runs_in_the_background(monkeypatch):
    """The call returns before the assignment is solved."""
    import threading

    import scipy.optimize

    go, solve = threading.Event(), scipy.optimize.linear_sum_assignment

    def slow(cost):
        assert go.wait(20)
        return solve(cost)

    monkeypatch.setattr(scipy.optimize, 'linear_sum_assignment', slow)
    xyz = torch.randn(3, 8, 3)
    pending = start_matching(xyz, xyz.flip(1))
    go.set()
    assert pending().index[0].tolist() == list(range(7, -1, -1))


def test_no_gradient():
    source = torch.randn(1, 4, 3, requires_grad=True)
    match = match_points(source, torch.randn(1, 4, 3, requires_grad=True), 'nearest')
    assert not match.distance.requires_grad


@pytest.mark.parametrize('method', METHODS)
def test_nan(method):
    source = torch.randn(2, 4, 3)
    source[1, 2, 0] = float('nan')
    with pytest.raises(ValueError, match='NaN'):
        match_points(source, torch.randn(2, 4, 3), method)


@pytest.mark.parametrize(
    'shapes, kwargs, message',
    [
        (((2, 4, 3), (2, 4)), {}, r'\(2, 4\)'),
        (((2, 4, 3), (3, 4, 3)), {}, 'batch'),
        (((2, 0, 3), (2, 4, 3)), {}, 'empty'),
        (((2, 4, 3), (2, 4, 3)), dict(method='best'), 'best'),
        (((2, 4, 3), (2, 4, 3)), dict(max_distance=0), 'max_distance'),
    ],
)
def test_mistakes(shapes, kwargs, message):
    with pytest.raises(ValueError, match=message):
        match_points(*(torch.zeros(s) for s in shapes), **kwargs)


@pytest.mark.gpu
def test_on_the_device():
    source, target = torch.randn(2, 64, 3), torch.randn(2, 64, 3)
    for method in METHODS:
        here, there = (
            match_points(source.to(d), target.to(d), method, max_distance=1.0)
            for d in ('cpu', 'cuda')
        )
        assert torch.equal(here.index, there.index.cpu())
        assert torch.equal(here.valid, there.valid.cpu())
