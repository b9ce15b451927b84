from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from dist_utils import run_distributed

from mm3dpretrain.models.losses import PointInfoNCELoss


def manual(query, key, t):
    """The formula of the docstring as loops, float64."""
    q = query.double() / query.double().norm(dim=1, keepdim=True)
    k = key.double() / key.double().norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(len(q)):
        scores = [float(q[i] @ k[j]) / t for j in range(len(k))]
        total -= scores[i] - math.log(sum(math.exp(s) for s in scores))
    return total / len(q)


@pytest.mark.parametrize('temperature', [0.07, 0.5])
def test_equals_manual(temperature):
    x, y = torch.randn(2, 9, 6)
    out = PointInfoNCELoss(temperature)(x, y)
    assert out['loss'].item() == pytest.approx(manual(x, y, temperature), rel=1e-5)
    both = PointInfoNCELoss(temperature, symmetric=True)(x, y)['loss'].item()
    expected = (manual(x, y, temperature) + manual(y, x, temperature)) / 2
    assert both == pytest.approx(expected, rel=1e-5)


def test_parity_with_the_public_code(golden):
    ref = golden('simipu/nce_softmax.npz')
    query = torch.from_numpy(ref['query']).requires_grad_()
    key = torch.from_numpy(ref['key'])
    out = PointInfoNCELoss(float(ref['temperature']))(query, key)
    out['loss'].backward()
    np.testing.assert_allclose(out['loss'].item(), ref['loss'], rtol=1e-6)
    np.testing.assert_allclose(query.grad, ref['grad_query'], atol=1e-5)
    assert ref['topk'].tolist() == [len(query) // 10, len(query) // 2]
    shares = [100 * out[name].item() for name in ('top10pct', 'top50pct')]
    np.testing.assert_allclose(shares, ref['acc_topk'], rtol=1e-5)


@pytest.mark.parametrize('rows', [1024, 4096])
def test_level_of_random_unit_vectors(rows):
    x, y = torch.randn(2, rows, 128)
    value = PointInfoNCELoss(0.07)(x, y)['loss'].item()
    assert value == pytest.approx(math.log(rows) + 1 / (2 * 128 * 0.07**2), abs=0.12)


def test_accuracies_are_true_shares():
    similarity = torch.tensor([[3.0, 1, 2], [2, 1, 3], [0, 3, 2]])
    # orthogonal keys: the queries' coordinates are the similarities
    out = PointInfoNCELoss()(similarity, torch.eye(3))
    assert out['top1'] == pytest.approx(1 / 3) and out['top5'] == 1 and out['candidates'] == 3
    x = torch.randn(40, 8)
    y = x + 0.8 * torch.randn(40, 8)
    out = PointInfoNCELoss()(x, y)
    s = torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(y, dim=1).T
    for name, k in dict(top1=1, top5=5, top10pct=4, top50pct=20).items():
        hits = [i in s[i].topk(k).indices.tolist() for i in range(40)]
        assert sum(hits) > 0 and out[name].item() == pytest.approx(sum(hits) / 40)


def test_collapsed_features_score_nothing():
    out = PointInfoNCELoss()(torch.ones(10, 4), torch.ones(10, 4))
    assert out['top1'] == 0 and out['top50pct'] == 0
    assert out['loss'].item() == pytest.approx(math.log(10), rel=1e-5)


@pytest.mark.parametrize('symmetric', [False, True])
def test_mask_equals_leaving_out(symmetric):
    x, y = torch.randn(2, 12, 5)
    valid = torch.rand(12) < 0.6
    assert 1 < valid.sum() < 12
    loss = PointInfoNCELoss(0.1, symmetric)
    masked, fewer = loss(x, y, valid), loss(x[valid], y[valid])
    assert all(torch.equal(masked[k], fewer[k]) for k in fewer)
    every = loss(x, y, torch.ones(12, dtype=torch.bool))
    assert all(torch.equal(v, loss(x, y)[k]) for k, v in every.items())
    # what is masked may be anything
    wild = torch.where(valid[:, None], y, torch.full_like(y, 1e6))
    assert torch.equal(loss(x, wild, valid)['loss'], masked['loss'])


def test_no_rows():
    x, y = torch.randn(2, 3, 4, requires_grad=True)
    out = PointInfoNCELoss(symmetric=True)(x, y, torch.zeros(3, dtype=torch.bool))
    assert all(v.item() == 0 for v in out.values())
    (grad,) = torch.autograd.grad(out['loss'], x)
    assert (grad == 0).all()


@pytest.mark.parametrize('symmetric', [False, True])
def test_chunks_change_nothing(symmetric):
    x, y = torch.randn(2, 23, 6)
    found = []
    for chunk in (100, 5):
        a, b = x.clone().requires_grad_(), y.clone().requires_grad_()
        out = PointInfoNCELoss(0.1, symmetric, chunk_size=chunk)(a, b)
        out['loss'].backward()
        found.append((out, a.grad, b.grad))
    for key, value in found[0][0].items():
        torch.testing.assert_close(found[1][0][key], value)
    torch.testing.assert_close(found[1][1], found[0][1])
    torch.testing.assert_close(found[1][2], found[0][2])


def test_chunks_are_not_kept():
    """What the graph holds is far below the matrix of all similarities."""
    x, y = torch.randn(2, 512, 8, requires_grad=True)

    def largest(chunk: int) -> int:
        held = []

        def keep(tensor):
            held.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            PointInfoNCELoss(chunk_size=chunk)(x, y)
        return max(held)

    assert largest(512) >= 512 * 512 and largest(32) < 512 * 32


def test_detached_keys_get_nothing():
    x, y = torch.randn(2, 6, 4, requires_grad=True)
    loss = PointInfoNCELoss(symmetric=True)(x, y.detach())['loss']
    grads = torch.autograd.grad(loss, (x, y), allow_unused=True)
    assert grads[0][:6].abs().sum() > 0
    assert grads[1] is None


@pytest.mark.parametrize('symmetric', [False, True])
def test_finite_differences(symmetric):
    x, y = torch.randn(2, 4, 6)
    loss = PointInfoNCELoss(0.3, symmetric, chunk_size=3)
    for which in range(2):
        pair = [x, y]
        pair[which] = pair[which].clone().requires_grad_()
        loss(*pair)['loss'].backward()
        grad = pair[which].grad
        for i, j in [(0, 0), (2, 3), (3, 5)]:
            step = torch.zeros_like(x)
            step[i, j] = 1e-2
            with torch.no_grad():
                up, down = ([p.detach() for p in pair] for _ in range(2))
                up[which], down[which] = up[which] + step, down[which] - step
                numeric = (loss(*up)['loss'] - loss(*down)['loss']) / 2e-2
            torch.testing.assert_close(grad[i, j], numeric, rtol=2e-2, atol=1e-4)


def test_single_precision_under_autocast():
    x, y = torch.randn(2, 300, 16)
    loss = PointInfoNCELoss(0.07)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(x, y)['loss']
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(x, y)['loss'], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda: PointInfoNCELoss(0.0), 'temperature'),
        (lambda: PointInfoNCELoss(chunk_size=0), 'chunk_size'),
        (lambda: PointInfoNCELoss()(torch.zeros(3, 4), torch.zeros(4, 4)), r'\(4, 4\)'),
        (
            lambda: PointInfoNCELoss()(torch.zeros(3, 4), torch.zeros(3, 4), torch.ones(3)),
            'bool',
        ),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def _rank_loss(rank, world_size, symmetric, gather, x, y, valid, weight, split):
    weight = weight.clone().requires_grad_()
    part = slice(0, split) if rank == 0 else slice(split, len(x))
    loss = PointInfoNCELoss(0.1, symmetric, gather)
    out = loss(x[part] @ weight, y[part] @ weight, valid[part])
    out['loss'].backward()
    return out['loss'].item(), weight.grad, out['candidates'].item()


@pytest.mark.parametrize('symmetric', [False, True])
@pytest.mark.parametrize('split', [4, 6, 0], ids=['equal', 'ragged', 'one-has-none'])
def test_two_processes_equal_one(symmetric, split):
    x, y, weight = torch.randn(8, 8), torch.randn(8, 8), torch.randn(8, 4)
    valid = torch.tensor([1, 1, 0, 1, 1, 1, 1, 1], dtype=torch.bool)
    one = weight.clone().requires_grad_()
    value = PointInfoNCELoss(0.1, symmetric)(x @ one, y @ one, valid)['loss']
    value.backward()
    results = run_distributed(_rank_loss, 2, (symmetric, True, x, y, valid, weight, split))
    # DistributedDataParallel averages gradients over the processes, the logger averages losses
    np.testing.assert_allclose(np.mean([r[0] for r in results]), value.item(), rtol=1e-5)
    mean = (results[0][1] + results[1][1]) / 2
    torch.testing.assert_close(mean, one.grad, rtol=1e-4, atol=1e-6)
    assert [r[2] for r in results] == [7, 7]


def test_candidates_of_this_process_alone():
    x, y, weight = torch.randn(8, 8), torch.randn(8, 8), torch.randn(8, 4)
    valid = torch.ones(8, dtype=torch.bool)
    results = run_distributed(_rank_loss, 2, (False, False, x, y, valid, weight, 4))
    assert [r[2] for r in results] == [4, 4]
    for rank, part in enumerate((slice(0, 4), slice(4, 8))):
        alone = PointInfoNCELoss(0.1)(x[part] @ weight, y[part] @ weight)['loss'].item()
        assert results[rank][0] == pytest.approx(alone, rel=1e-5)
