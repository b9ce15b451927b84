"""k nearest neighbours: golden vectors, naive twin, gradients, ragged batches, bad input."""

from __future__ import annotations

import pytest
import torch

from mm3dpretrain import ops
from mm3dpretrain.ops import naive

from .test_furthest_point_sample import KINDS, make_clouds

GOLDEN = [f'case{i}_norm{n}' for i in range(3) for n in (1, 2)]


@pytest.mark.parametrize('case', GOLDEN)
def test_equals_pytorch3d(golden, case):
    arrays = golden('ops/knn.npz')
    field = {k.split('/')[1]: torch.from_numpy(v) for k, v in arrays.items() if case in k}
    query, points = field['p1'].requires_grad_(), field['p2'].requires_grad_()
    dist, idx = ops.knn(
        query, points, int(field['K']), field['lengths1'], field['lengths2'], int(case[-1])
    )
    assert idx.dtype == torch.int64
    assert torch.equal(idx, field['idx'].long())
    torch.testing.assert_close(dist, field['dists'], atol=1e-5, rtol=1e-5)
    (dist * field['weight']).sum().backward()
    torch.testing.assert_close(query.grad, field['grad_p1'], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(points.grad, field['grad_p2'], atol=1e-5, rtol=1e-5)


def test_k_beyond_length_equals_pytorch3d(golden):
    arrays = golden('ops/knn.npz')
    field = {k.split('/')[1]: torch.from_numpy(v) for k, v in arrays.items() if 'k_gt' in k}
    dist, idx = ops.knn(field['p1'], field['p2'], int(field['K']), lengths=field['lengths2'])
    assert torch.equal(idx, field['idx'].long())
    torch.testing.assert_close(dist, field['dists'], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [1, 65, 500])
def test_equals_naive_twin(kind, size):
    """Distances bit for bit, indices too, ties included."""
    for channels, dtype in ((3, torch.float32), (5, torch.float32), (3, torch.float64)):
        points = make_clouds(kind, 2, size, channels, dtype)
        query = torch.cat([points[:, ::5], make_clouds(kind, 2, 20, channels, dtype)], 1)
        lengths = torch.tensor([size, (size + 1) // 2])
        query_lengths = torch.tensor([query.shape[1], 7])
        for k in {1, min(size, 8), min(size, 33)}:
            for norm in (1, 2):
                arguments = (query, points, k, query_lengths, lengths, norm)
                result, expected = ops.knn(*arguments), naive.knn(*arguments)
                assert torch.equal(result.idx, expected[1]), (kind, size, channels, k, norm)
                assert torch.equal(result.dist2, expected[0]), (kind, size, channels, k, norm)


def test_feature_space():
    """DGCNN looks for neighbours among 64-channel features."""
    points = torch.randn(2, 300, 64)
    dist, idx = ops.knn(points, points, 20)
    expected = naive.knn(points, points, 20)
    assert torch.equal(idx, expected[1])
    torch.testing.assert_close(dist, expected[0])


@pytest.mark.parametrize('norm', [1, 2])
def test_gradcheck(norm):
    query = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    points = torch.randn(2, 9, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([9, 3])

    def distances(query, points):
        return ops.knn(query, points, 4, torch.tensor([6, 5]), lengths, norm).dist2

    assert torch.autograd.gradcheck(distances, (query, points))


def test_padding_may_hold_nan_and_gets_no_gradient():
    points = torch.randn(2, 40, 3)
    points[1, 10:] = float('nan')
    points.requires_grad_()
    query = torch.randn(2, 15, 3)
    query[0, 12:] = float('inf')
    query.requires_grad_()
    dist, idx = ops.knn(query, points, 12, torch.tensor([12, 15]), torch.tensor([40, 10]))
    assert (idx[1, :, 10:] == 0).all() and (dist[1, :, 10:] == 0).all()
    assert (idx[0, 12:] == 0).all() and (dist[0, 12:] == 0).all()
    dist.sum().backward()
    assert points.grad.isfinite().all() and query.grad.isfinite().all()
    assert (points.grad[1, 10:] == 0).all() and (query.grad[0, 12:] == 0).all()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(k=9), 'k = 9 but points has only 8 points'),
        (dict(k=0), 'k must be at least 1'),
        (dict(norm=3), r'norm must be one of \(1, 2\), got 3'),
        (dict(query=torch.randn(3, 4, 3)), 'differ in batch size: 3 and 2'),
        (dict(query=torch.randn(2, 4, 2)), 'query has 2 channels, points has 3'),
        (dict(query=torch.full((2, 4, 3), float('inf'))), 'query has 8 points that are NaN'),
        (dict(points=torch.randn(2, 0, 3)), 'points is empty'),
        (dict(query_lengths=torch.tensor([4, 5])), r'query_lengths\[1\] = 5'),
        (dict(lengths=torch.tensor([0, 5])), r'lengths\[0\] = 0'),
    ],
)
def test_bad_input(change, message):
    arguments = dict(query=torch.randn(2, 4, 3), points=torch.randn(2, 8, 3), k=3) | change
    with pytest.raises(ValueError, match=message):
        ops.knn(**arguments)
