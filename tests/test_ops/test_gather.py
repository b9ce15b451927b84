"""Gathering and three-nearest interpolation: naive twins, gradients, -1, bad input."""

from __future__ import annotations

import pytest
import torch

from mm3dpretrain import ops
from mm3dpretrain.ops import naive


@pytest.mark.parametrize('dtype', [torch.int32, torch.int64])
@pytest.mark.parametrize('lowest', [0, -1])
def test_equals_naive_twin(dtype, lowest):
    features = torch.randn(3, 50, 7)
    idx = torch.randint(lowest, 50, (3, 11, 4), dtype=dtype)
    assert torch.equal(ops.group_points(features, idx), naive.group_points(features, idx.long()))
    flat = idx[..., 0]
    assert torch.equal(ops.gather_points(features, flat), naive.gather_points(features, flat))


def test_other_types_and_layouts():
    labels = torch.arange(20).view(2, 10, 1)
    idx = torch.tensor([[3, -1], [0, 9]])
    assert ops.gather_points(labels, idx)[..., 0].tolist() == [[3, 0], [10, 19]]
    strided = torch.randn(2, 5, 10).transpose(1, 2)
    assert torch.equal(ops.gather_points(strided, idx), naive.gather_points(strided, idx))


def test_gradcheck():
    features = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    idx = torch.tensor([[0, 5, 5], [-1, 2, 0]])
    assert torch.autograd.gradcheck(lambda f: ops.gather_points(f, idx), features)
    assert torch.autograd.gradcheck(lambda f: ops.group_points(f, idx[:, None]), features)
    weight = torch.rand(2, 1, 3, dtype=torch.float64, requires_grad=True)
    valid = idx.clamp(min=0)[:, None]
    assert torch.autograd.gradcheck(
        lambda f, w: ops.three_interpolate(f, valid, w), (features, weight)
    )


def test_missing_rows_get_no_gradient():
    features = torch.randn(1, 4, 2, requires_grad=True)
    ops.gather_points(features, torch.tensor([[-1, -1, 2]])).sum().backward()
    assert features.grad[0, :, 0].tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_three_nn_and_interpolation_equal_naive_twins(dtype):
    query, points = torch.randn(2, 40, 3, dtype=dtype), torch.randn(2, 25, 3, dtype=dtype)
    lengths, query_lengths = torch.tensor([25, 2]), torch.tensor([40, 13])
    for arguments in ((query, points), (query, points, query_lengths, lengths)):
        dist, idx = ops.three_nn(*arguments)
        expected = naive.three_nn(*arguments)
        assert torch.equal(idx, expected[1]) and torch.equal(dist, expected[0])
    features = torch.randn(2, 25, 8, dtype=dtype)
    weight = 1 / (dist + 1e-8)
    weight = weight / weight.sum(-1, keepdim=True)
    torch.testing.assert_close(
        ops.three_interpolate(features, idx, weight),
        naive.three_interpolate(features, idx, weight),
    )


def test_interpolation_returns_the_feature_of_a_coincident_point():
    points = torch.randn(1, 30, 3)
    features = torch.randn(1, 30, 5)
    dist, idx = ops.three_nn(points, points)
    weight = 1 / (dist + 1e-8)
    weight = weight / weight.sum(-1, keepdim=True)
    torch.testing.assert_close(
        ops.three_interpolate(features, idx, weight), features, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda f, i: ops.gather_points(f, i + 10), r'idx holds 10, outside \[-1, 10\)'),
        (lambda f, i: ops.gather_points(f, i - 2), r'idx holds -2, outside'),
        (lambda f, i: ops.gather_points(f, i.float()), 'idx must be an int32 or int64 tensor'),
        (lambda f, i: ops.gather_points(f, i[0]), 'idx must have 2 dimensions'),
        (lambda f, i: ops.group_points(f, i), 'idx must have 3 dimensions'),
        (lambda f, i: ops.gather_points(f[0], i), r'features must be a tensor \(B, N, C\)'),
        (lambda f, i: ops.three_nn(f[..., :3], f[:, :2, :3]), '3 but points has only 2 points'),
        (lambda f, i: ops.three_interpolate(f, i[:, None], None), r'must both be \(B, M, 3\)'),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.randn(2, 10, 4), torch.zeros(2, 3, dtype=torch.long))
