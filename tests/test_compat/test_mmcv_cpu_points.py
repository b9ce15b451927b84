"""mmcv's point operators on the CPU: equal to their twins, gradients by finite differences."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from mm3dpretrain.compat import set_cpu_ops
from mm3dpretrain.compat.mmcv_cpu import naive

mmcv_ops = pytest.importorskip('mmcv.ops')


def clouds(*shape: int, ties: bool = False) -> torch.Tensor:
    """Points in the unit cube, on a coarse lattice with many equal distances if asked for."""
    return torch.randint(0, 5, shape).float() / 4 if ties else torch.rand(shape)


def counts(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize(('size', 'num'), [(1, 1), (50, 50), (700, 200)])
def test_furthest_points(size, num, ties):
    xyz = clouds(3, size, 3, ties=ties)
    idx = mmcv_ops.furthest_point_sample(xyz, num)
    assert idx.dtype == torch.int32
    assert torch.equal(idx, naive.furthest_point_sample(xyz, num))


def test_more_furthest_points_than_points_repeat_the_first():
    assert mmcv_ops.furthest_point_sample(clouds(1, 3, 3), 5)[0, 3:].tolist() == [0, 0]


@pytest.mark.parametrize('ties', [False, True])
def test_furthest_points_by_distance(ties):
    xyz = clouds(2, 300, 5, ties=ties)
    dist = (xyz[:, :, None] - xyz[:, None]).square().sum(-1)
    idx = mmcv_ops.furthest_point_sample_with_dist(dist, 80)
    assert idx.dtype == torch.int32
    assert torch.equal(idx, naive.furthest_point_sample_with_dist(dist, 80))


def test_points_samplers_of_3dssd():
    xyz, features = clouds(2, 128, 3), torch.rand(2, 4, 128)
    sampler = mmcv_ops.PointsSampler([16, 8], ['FS', 'D-FPS'], [64, -1])
    idx = sampler(xyz, features)
    both = torch.cat([xyz, features.transpose(1, 2)], 2)[:, :64].contiguous()
    by_feature = naive.furthest_point_sample_with_dist(torch.cdist(both, both).square(), 16)
    by_place = naive.furthest_point_sample(xyz[:, :64], 16)
    rest = naive.furthest_point_sample(xyz[:, 64:], 8) + 64
    assert torch.equal(idx, torch.cat([by_feature, by_place, rest], 1))


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('radii', [(0.0, 0.25), (0.15, 0.3), (0.25, 0.5), (0.0, 1e-3)])
def test_ball_query(radii, ties):
    xyz, centers = clouds(2, 400, 3, ties=ties), clouds(2, 60, 3, ties=ties)
    centers[:, 0] = xyz[:, 7]  # distance 0 is inside whatever the inner radius
    centers[:, 1] = 9  # nothing near
    idx = mmcv_ops.ball_query(*radii, 16, xyz, centers)
    assert idx.dtype == torch.int32
    assert torch.equal(idx, naive.ball_query(*radii, 16, xyz, centers))
    assert idx[:, 1].eq(0).all()


@pytest.mark.parametrize('radii', [(0.0, 0.5), (0.1, 0.5)])
def test_ball_query_with_more_samples_than_points(radii):
    xyz = clouds(1, 5, 3)
    assert torch.equal(
        mmcv_ops.ball_query(*radii, 9, xyz, xyz), naive.ball_query(*radii, 9, xyz, xyz)
    )


@pytest.mark.parametrize('ties', [False, True])
def test_stacked_ball_query(ties):
    xyz, centers = clouds(350, 3, ties=ties), clouds(60, 3, ties=ties)
    centers[3] = 9
    idx = mmcv_ops.ball_query(0.0, 0.3, 8, xyz, centers, counts(200, 150), counts(20, 40))
    assert torch.equal(idx, naive.stack_ball_query(0.3, 8, xyz, centers, (200, 150), (20, 40)))
    assert idx[3].tolist() == [-1] + [0] * 7


def test_stacked_ball_query_beside_an_empty_cloud():
    xyz, centers = clouds(50, 3), clouds(10, 3)
    idx = mmcv_ops.ball_query(0.0, 0.3, 8, xyz, centers, counts(0, 50), counts(4, 6))
    assert idx[:4, 0].eq(-1).all()
    assert torch.equal(idx[4:], naive.stack_ball_query(0.3, 8, xyz, centers[4:], (50,), (6,)))


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('k', [1, 3, 33])
def test_knn(k, ties):
    xyz, centers = clouds(2, 300, 3, ties=ties), clouds(2, 40, 3, ties=ties)
    idx = mmcv_ops.knn(k, xyz, centers)
    assert idx.dtype == torch.int32
    assert torch.equal(idx, naive.knn(k, xyz, centers))
    swapped = [t.transpose(1, 2).contiguous() for t in (xyz, centers)]
    assert torch.equal(mmcv_ops.knn(k, *swapped, True), idx)


def test_knn_of_the_cloud_itself_and_beyond_its_size():
    xyz = clouds(1, 4, 3)
    idx = mmcv_ops.knn(6, xyz)
    assert torch.equal(idx[:, :4], naive.knn(4, xyz, xyz))
    assert idx[:, 4:].eq(0).all()
    with pytest.raises(ValueError, match='k must be between 1 and 99, got 100'):
        mmcv_ops.knn(100, xyz)


@pytest.mark.parametrize('ties', [False, True])
def test_three_nn(ties):
    target, source = clouds(2, 300, 3, ties=ties), clouds(2, 40, 3, ties=ties)
    dist, idx = mmcv_ops.three_nn(target, source)
    expected_dist, expected = naive.three_nn(target, source)
    assert idx.dtype == torch.int32
    assert torch.equal(idx, expected)
    assert torch.equal(dist, expected_dist)
    _, idx = mmcv_ops.three_nn(target, source[:, :2].contiguous())
    assert idx[..., 2].eq(0).all()


OPERATIONS = {
    'gather': (mmcv_ops.gather_points, naive.gather_points, (2, 20)),
    'group': (mmcv_ops.grouping_operation, naive.grouping_operation, (2, 20, 6)),
}


@pytest.mark.parametrize('name', OPERATIONS)
def test_gathering_and_grouping(name):
    operator, twin, shape = OPERATIONS[name]
    features, idx = torch.rand(2, 5, 30), torch.randint(0, 30, shape).int()
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    out, expected = operator(ours, idx), twin(theirs, idx)
    assert torch.equal(out, expected)
    weight = torch.rand_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)
    wide = features[:, :2, :6].double().clone().requires_grad_()
    assert gradcheck(lambda f: operator(f, (idx % 6).contiguous()), wide)


def test_interpolation():
    features = torch.rand(2, 5, 30)
    idx, weight = torch.randint(0, 30, (2, 40, 3)).int(), torch.rand(2, 40, 3)
    ours, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    out = mmcv_ops.three_interpolate(ours, idx, weight)
    expected = naive.three_interpolate(theirs, idx, weight)
    assert torch.allclose(out, expected, atol=1e-6)
    scale = torch.rand_like(out)
    (out * scale).sum().backward()
    (expected * scale).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)
    wide = features[:, :2].double().clone().requires_grad_()
    assert gradcheck(lambda f: mmcv_ops.three_interpolate(f, idx, weight.double()), wide)


def test_stacked_grouping():
    features, sizes, centers = torch.rand(50, 4), (30, 20), (8, 5)
    idx = torch.cat([torch.randint(0, n, (m, 6)) for n, m in zip(sizes, centers)]).int()

    def operator(values):
        return mmcv_ops.grouping_operation(values, idx, counts(*sizes), counts(*centers))

    out = operator(features)
    assert torch.equal(out, naive.stack_grouping_operation(features, idx, sizes, centers))
    assert gradcheck(operator, features.double().requires_grad_())


def test_query_and_group():
    xyz, features = clouds(2, 200, 3), torch.rand(2, 4, 200)
    centers = xyz[:, :30].contiguous()
    for radius in (0.3, None):
        group = mmcv_ops.QueryAndGroup(radius, 8, return_grouped_idx=True)
        grouped, idx = group(xyz, centers, features)
        if radius is None:
            expected = naive.knn(8, xyz, centers).transpose(1, 2)
        else:
            expected = naive.ball_query(0.0, radius, 8, xyz, centers)
        assert torch.equal(idx, expected)
        offset = naive.grouping_operation(xyz.transpose(1, 2), idx) - centers.mT[..., None]
        rows = naive.grouping_operation(features, idx)
        assert torch.equal(grouped, torch.cat([offset, rows], 1))


def test_half_precision_features_keep_their_type():
    features, idx = torch.rand(1, 3, 9).bfloat16(), torch.randint(0, 9, (1, 4, 2)).int()
    out = mmcv_ops.grouping_operation(features.requires_grad_(), idx)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, naive.grouping_operation(features, idx))
    out.sum().backward()
    assert features.grad.dtype == torch.bfloat16


def test_wrong_input_is_named():
    features = torch.rand(1, 3, 9)
    with pytest.raises(IndexError, match=r'indices holds 9, outside \[0, 9\)'):
        mmcv_ops.gather_points(features, torch.tensor([[2, 9]], dtype=torch.int32))
    with pytest.raises(IndexError, match='indices holds -1'):
        mmcv_ops.grouping_operation(features, torch.tensor([[[-1]]], dtype=torch.int32))
    xyz = clouds(1, 9, 3)
    xyz[0, 4, 1] = float('nan')
    with pytest.raises(ValueError, match=r'xyz\[0, 4\]'):
        mmcv_ops.furthest_point_sample(xyz, 3)
    with pytest.raises(ValueError, match=r'xyz\[0, 4\]'):
        mmcv_ops.ball_query(0.1, 0.2, 4, xyz, torch.rand(1, 2, 3))
    with pytest.raises(ValueError, match='xyz_batch_cnt is .*, but the stack has 9 rows'):
        mmcv_ops.ball_query(0.0, 0.2, 4, xyz[0], xyz[0], counts(5, 5), counts(4, 5))
    with pytest.raises(IndexError, match=r'indices\[1, 0\] = 5 is outside its cloud of 5 points'):
        idx = torch.tensor([[0], [5]], dtype=torch.int32)
        mmcv_ops.grouping_operation(torch.rand(9, 2), idx, counts(4, 5), counts(1, 1))


@pytest.mark.gpu
def test_equal_to_the_cuda_kernels():
    """Random points have no ties; a fused multiply-add may move a point across a radius."""
    xyz, centers = clouds(2, 2000, 3), clouds(2, 200, 3)
    features = torch.rand(2, 5, 2000)
    on_gpu = xyz.cuda(), centers.cuda()
    ball = mmcv_ops.ball_query(0.05, 0.2, 16, *on_gpu).cpu()
    pairs = {
        'fps': (mmcv_ops.furthest_point_sample, (xyz, 100)),
        'knn': (mmcv_ops.knn, (8, xyz, centers)),
        'group': (mmcv_ops.grouping_operation, (features, ball)),
        'gather': (mmcv_ops.gather_points, (features, ball[:, :, 0].contiguous())),
    }
    try:
        set_cpu_ops('on')
        for name, (operator, args) in pairs.items():
            there = operator(*(a.cuda() if torch.is_tensor(a) else a for a in args)).cpu()
            assert (operator(*args) == there).float().mean() > 0.999, name
        assert (mmcv_ops.ball_query(0.05, 0.2, 16, xyz, centers) == ball).float().mean() > 0.999
        dist, idx = mmcv_ops.three_nn(centers, xyz)
        dist_there, idx_there = (t.cpu() for t in mmcv_ops.three_nn(*on_gpu[::-1]))
        assert (idx == idx_there).float().mean() > 0.999
        assert torch.allclose(dist, dist_there, atol=1e-5)
        weight = torch.rand(2, 200, 3)
        args = features, idx, weight
        there = mmcv_ops.three_interpolate(*(a.cuda() for a in args)).cpu()
        assert torch.allclose(mmcv_ops.three_interpolate(*args), there, atol=1e-5)
        stack = xyz[0], centers[0], counts(1200, 800), counts(50, 150)
        there = mmcv_ops.ball_query(0.0, 0.2, 16, *(a.cuda() for a in stack)).cpu()
        assert (mmcv_ops.ball_query(0.0, 0.2, 16, *stack) == there).float().mean() > 0.999
    finally:
        set_cpu_ops(None)
