"""Points in boxes, overlap and suppression of rotated boxes on the CPU equal their twins."""

from __future__ import annotations

import math

import pytest
import torch

from mm3dpretrain.compat import set_cpu_ops
from mm3dpretrain.compat.mmcv_cpu import naive

mmcv_ops = pytest.importorskip('mmcv.ops')


def boxes(*shape: int, spread: float = 6.0) -> torch.Tensor:
    out = torch.rand(*shape, 7) * spread
    out[..., 3:6] = torch.rand(*shape, 3) * 3 + 0.3
    out[..., 6] = torch.rand(shape) * 20 - 10
    return out


def test_points_in_boxes():
    points, solid = torch.rand(2, 3000, 3) * 6, boxes(2, 12)
    # On the bottom, on the top, and on a side: in, in, out.
    solid[0, 0] = torch.tensor([1.0, 1, 1, 1, 1, 1, 0])
    points[0, :3] = torch.tensor([[1.0, 1, 1], [1, 1, 2], [1.5, 1, 1.5]])
    every = mmcv_ops.points_in_boxes_all(points, solid)
    first = mmcv_ops.points_in_boxes_part(points, solid)
    assert every.dtype == first.dtype == torch.int32
    assert every[0, :3, 0].tolist() == [1, 1, 0]
    assert torch.equal(every, naive.points_in_boxes_all(points, solid))
    assert torch.equal(first, naive.points_in_boxes_part(points, solid))
    assert torch.equal(every, mmcv_ops.points_in_boxes_cpu(points, solid))
    assert first.eq(-1).any() and first.gt(0).any()


def test_no_boxes_and_no_points():
    points = torch.rand(1, 4, 3)
    assert mmcv_ops.points_in_boxes_part(points, torch.zeros(1, 0, 7)).tolist() == [[-1] * 4]
    assert mmcv_ops.points_in_boxes_all(points, torch.zeros(1, 0, 7)).shape == (1, 4, 0)
    assert mmcv_ops.points_in_boxes_part(points[:, :0], boxes(1, 3)).shape == (1, 0)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match='boxes 7 columns, got 3 and 6'):
        mmcv_ops.points_in_boxes_part(torch.rand(1, 4, 3), torch.rand(1, 2, 6))
    with pytest.raises(ValueError, match=r'got \(4, 3\) and \(1, 2, 7\)'):
        mmcv_ops.points_in_boxes_all(torch.rand(4, 3), torch.rand(1, 2, 7))


def test_mmdet3d_boxes_use_them():
    structures = pytest.importorskip('mmdet3d.structures')
    solid, points = boxes(5), torch.rand(200, 3) * 6
    lidar = structures.LiDARInstance3DBoxes(solid)
    expected = naive.points_in_boxes_part(points[None], lidar.tensor[None])[0]
    assert torch.equal(lidar.points_in_boxes_part(points), expected)


def test_known_overlaps():
    unit = torch.tensor([[0.0, 0, 0, 1, 1, 1, 0]])
    others = unit.repeat(6, 1)
    others[1, 6] = math.pi / 4  # an octagon
    others[2, 0] = 0.5
    others[3, :2] = 1.0  # a corner in common
    others[4, 3:5] = 0  # no area
    others[5, 3:5] = torch.tensor([4.0, 0.5])
    shared = mmcv_ops.boxes_overlap_bev(unit, others)[0]
    expected = torch.tensor([1.0, 2 * (math.sqrt(2) - 1), 0.5, 0, 0, 0.5])
    assert torch.allclose(shared, expected, atol=1e-6)


def test_overlaps_equal_the_twin_and_mmcv():
    a, b = boxes(40), boxes(30)
    b[:10] = a[:10]
    b[5:10, 6] += math.pi  # the same box, turned by half a turn
    shared = mmcv_ops.boxes_overlap_bev(a, b)
    assert torch.allclose(shared, naive.boxes_overlap_bev(a, b), atol=1e-5)
    columns = [0, 1, 3, 4, 6]
    iou = mmcv_ops.box_iou_rotated(a[:, columns], b[:, columns], clockwise=True)
    area_a, area_b = a[:, 3] * a[:, 4], b[:, 3] * b[:, 4]
    assert torch.allclose(shared / (area_a[:, None] + area_b - shared), iou, atol=1e-4)


def test_iou_in_three_dimensions():
    a = torch.tensor([[0.0, 0, 0, 2, 2, 2, 0]])
    b = torch.tensor([[0.0, 0, 1, 2, 2, 2, math.pi / 2], [0, 0, 3, 2, 2, 2, 0]])
    assert torch.allclose(mmcv_ops.boxes_iou3d(a, b), torch.tensor([[1 / 3, 0]]), atol=1e-6)


def test_differentiable_overlap_equals_the_twin():
    a, b = boxes(1, 300, spread=3.0), boxes(1, 300, spread=3.0)
    b[0, :20] = a[0, :20]  # the same box,
    b[0, 10:20, 6] += math.pi / 2  # turned within itself: sides change places,
    b[0, 10:20, 3:5] = a[0, 10:20, 3:5].flip(-1)
    b[0, 20:40, :3] += 100  # nothing in common,
    b[0, 40:60, :3] = a[0, 40:60, :3]  # one inside of the other
    b[0, 40:60, 3:6] = a[0, 40:60, 3:6] / 2
    shared = torch.tensor(
        [naive.shared_area(x, y) for x, y in zip(a[0].double(), b[0].double(), strict=True)]
    )
    a, b = a.double(), b.double()
    low = torch.maximum(a[..., 2] - a[..., 5] / 2, b[..., 2] - b[..., 5] / 2)
    high = torch.minimum(a[..., 2] + a[..., 5] / 2, b[..., 2] + b[..., 5] / 2)
    shared = shared[None] * (high - low).clamp(min=0)
    expected = shared / (a[..., 3:6].prod(-1) + b[..., 3:6].prod(-1) - shared)
    iou = mmcv_ops.diff_iou_rotated_3d(a.clone(), b.clone())
    assert torch.allclose(iou, expected, atol=1e-6)
    assert torch.allclose(iou[0, :20], torch.ones(20, dtype=torch.double), atol=1e-6)
    assert iou[0, 20:40].eq(0).all() and iou[0, 60:].gt(0.05).sum() > 20


def test_gradient_of_the_overlap():
    a, b = boxes(1, 12, spread=1.5).double(), boxes(1, 12, spread=1.5).double()
    assert torch.autograd.gradcheck(
        lambda x: mmcv_ops.diff_iou_rotated_3d(x, b), a.requires_grad_(), eps=1e-7, atol=1e-5
    )


def test_rotated_iou_loss_finds_the_box():
    losses = pytest.importorskip('mmdet3d.models.losses')
    target = torch.tensor([[1.0, 2, 0, 2, 1, 1.5, 0.7]])
    box = torch.tensor([[1.3, 1.8, 0.2, 1.5, 1.2, 1.2, 0.4]], requires_grad=True)
    loss = losses.RotatedIoU3DLoss()
    optimizer = torch.optim.Adam([box], lr=0.01)
    first = loss(box, target).item()
    for _ in range(300):
        optimizer.zero_grad()
        value = loss(box, target)
        value.backward()
        optimizer.step()
    assert first > 0.5 and value < 0.05
    assert torch.allclose(box, target, atol=0.06)


@pytest.mark.parametrize('threshold', [0.0, 0.1, 0.5])
def test_suppression(threshold):
    solid, scores = boxes(40), torch.rand(40)
    rotated = mmcv_ops.nms3d(solid, scores, threshold)
    upright = mmcv_ops.nms3d_normal(solid, scores, threshold)
    assert torch.equal(rotated, naive.nms3d(solid, scores, threshold))
    assert torch.equal(upright, naive.nms3d(solid, scores, threshold, rotated=False))
    assert 0 < len(rotated) < 40
    columns = [0, 1, 3, 4, 6]
    kept = mmcv_ops.nms_rotated(solid[:, columns], scores, threshold)[1]
    if threshold:  # at 0 mmcv's rounding decides about boxes that touch
        assert torch.equal(rotated, kept)


def test_suppression_of_nothing():
    for operator in (mmcv_ops.nms3d, mmcv_ops.nms3d_normal):
        assert operator(torch.zeros(0, 7), torch.zeros(0), 0.5).shape == (0,)


@pytest.mark.gpu
def test_equal_to_the_cuda_kernels():
    """mmcv's CUDA overlap takes corners 1 cm outside of a box as inside it."""
    points, solid = torch.rand(2, 3000, 3) * 6, boxes(2, 12)
    a, b, scores = boxes(200), boxes(150), torch.rand(200)
    try:
        set_cpu_ops('on')
        for operator in (mmcv_ops.points_in_boxes_part, mmcv_ops.points_in_boxes_all):
            there = operator(points.cuda(), solid.cuda()).cpu()
            assert (operator(points, solid) == there).float().mean() > 0.9999
        there = mmcv_ops.boxes_overlap_bev(a.cuda(), b.cuda()).cpu()
        assert (mmcv_ops.boxes_overlap_bev(a, b) - there).abs().max() < 0.05
        for operator in (mmcv_ops.nms3d, mmcv_ops.nms3d_normal):
            there = operator(a.cuda(), scores.cuda(), 0.3).cpu().tolist()
            kept = operator(a, scores, 0.3).tolist()
            assert len(set(there) ^ set(kept)) <= 4
    finally:
        set_cpu_ops(None)
