"""Box operators with the names and signatures of ``mmcv._ext``.

A box is (x, y, z, dx, dy, dz, heading); the heading turns from x to y. The shared area of two boxes
seen from above is exact; mmcv's CUDA kernel counts corners up to 1 cm outside of a box as inside.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...ops import _box_kernels as kernels
from ...ops._cpu import _array, _ranges, _spread


def rectangles(boxes: np.ndarray) -> np.ndarray:
    """(N, 5) x, y, dx, dy, heading as (N, 6) float64 with cosine and sine, as the kernels want."""
    boxes = np.asarray(boxes, np.float64)
    heading = boxes[:, 4:]
    return np.concatenate([boxes[:, :4], np.cos(heading), np.sin(heading)], axis=1)


def shared_areas(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas (N, M) float64 that rectangles (N, 6) and (M, 6) share."""
    out = np.empty((len(boxes), len(others)))
    _spread(
        lambda begin, end: kernels.overlaps(boxes, others, out, begin, end),
        _ranges(len(boxes), 4 * torch.get_num_threads()),
        work=out.size * 30e-9,
    )
    return out


def _from_above(boxes: Tensor) -> np.ndarray:
    return rectangles(_array(boxes.detach())[:, [0, 1, 3, 4, 6]])


def iou3d_boxes_overlap_bev_forward(boxes_a: Tensor, boxes_b: Tensor, ans_overlap: Tensor) -> None:
    """Shared area from above of (N, 7) and (M, 7) into ``ans_overlap`` (N, M)."""
    areas = shared_areas(_from_above(boxes_a), _from_above(boxes_b))
    ans_overlap.copy_(torch.from_numpy(areas))


def _suppress(
    boxes: Tensor, keep: Tensor, keep_num: Tensor, threshold: float, rotated: bool
) -> None:
    kept = np.empty(len(boxes), np.int64)
    count = kernels.suppress(_from_above(boxes), float(threshold), rotated, kept)
    keep[:count] = torch.from_numpy(kept[:count])
    keep_num.fill_(count)


def iou3d_nms3d_forward(
    boxes: Tensor, keep: Tensor, keep_num: Tensor, nms_overlap_thresh: float
) -> None:
    """Indices of the boxes to keep, of (N, 7) sorted by score; IoU from above."""
    _suppress(boxes, keep, keep_num, nms_overlap_thresh, rotated=True)


def iou3d_nms3d_normal_forward(
    boxes: Tensor, keep: Tensor, keep_num: Tensor, nms_overlap_thresh: float
) -> None:
    """As :func:`iou3d_nms3d_forward` with all headings taken as 0."""
    _suppress(boxes, keep, keep_num, nms_overlap_thresh, rotated=False)


def diff_iou_rotated_sort_vertices_forward(
    vertices: Tensor, mask: Tensor, num_valid: Tensor
) -> Tensor:
    """The corners of the area that two rectangles share, in order around it.

    What mmcv's differentiable overlap (``RotatedIoU3DLoss``) lacks on the CPU. Corners that
    coincide enclose nothing, so they stay where there is room.

    Args:
        vertices: (B, N, 24, 2), relative to the mean of the valid ones: the corners of both
            rectangles, then the 16 intersections of their sides.
        mask: (B, N, 24) bool, which of them are corners of the shared area.
        num_valid: (B, N), sums of ``mask``.

    Returns:
        (B, N, 9) int32: at most 8 indices, the first one again, and for the rest an intersection
        that there is not.
    """
    absent = mask[..., 8:].int().argmin(-1, keepdim=True) + 8
    angles = torch.atan2(vertices[..., 1], vertices[..., 0])
    order = angles.masked_fill(~mask, math.inf).argsort(dim=-1, stable=True)
    around = vertices.gather(2, order[..., None].expand_as(vertices))
    # Two convex quadrilaterals share at most 8 corners; more are corners on a side, counted twice.
    # The closest to the one before it goes: without it the area is the same.
    taken = mask.gather(2, order)
    steps = (around - around.roll(1, dims=2)).norm(dim=-1)
    steps[..., 0] = math.inf  # the first has none before it, and closes the polygon
    widest = steps.masked_fill(~taken, -1).argsort(dim=-1, descending=True, stable=True)[..., :8]
    places = widest.sort(-1).values
    index = order.gather(2, places)
    kept = taken.gather(2, places)
    index = torch.where(kept, index, absent)
    count = num_valid.long().clamp(max=8)[..., None]
    index = torch.cat([index, absent], dim=-1).scatter(2, count, index[..., :1])
    return torch.where(count < 3, absent, index).int()


def _look_inside(kernel, boxes: Tensor, points: Tensor, out: Tensor) -> None:
    if points.dim() != 3 or boxes.dim() != 3 or len(points) != len(boxes):
        raise ValueError(
            'points must be (B, M, 3) and boxes (B, T, 7), '
            f'got {tuple(points.shape)} and {tuple(boxes.shape)}'
        )
    if points.shape[2] != 3 or boxes.shape[2] != 7:
        raise ValueError(
            f'points need 3 and boxes 7 columns, got {points.shape[2]} and {boxes.shape[2]}'
        )
    dtype = torch.promote_types(torch.float32, torch.promote_types(points.dtype, boxes.dtype))
    cloud, boxes = _array(points.detach().to(dtype)), boxes.detach().to(dtype)
    half, heading = boxes[..., 3:6] * 0.5, boxes[..., 6:]
    middle = boxes[..., 2:3] + half[..., 2:]
    columns = [boxes[..., :2], middle, half, heading.cos(), heading.sin()]
    tables = _array(torch.cat(columns, -1).mT)
    found = np.empty(out.shape, np.int32)
    pairs = points.shape[0] * points.shape[1] * max(1, boxes.shape[1])
    _spread(
        lambda begin, end: kernel(cloud, tables, found, begin, end),
        _ranges(cloud.shape[0] * cloud.shape[1], 4 * torch.get_num_threads()),
        work=pairs * 0.5e-9,
    )
    out.copy_(torch.from_numpy(found))


def points_in_boxes_part_forward(boxes: Tensor, points: Tensor, out: Tensor) -> None:
    """First box around each point into ``out`` (B, M), -1 where none; boxes from the bottom."""
    _look_inside(kernels.first_box, boxes, points, out)


def points_in_boxes_all_forward(boxes: Tensor, points: Tensor, out: Tensor) -> None:
    """1 for every box around a point into ``out`` (B, M, T), else 0; boxes from the bottom."""
    _look_inside(kernels.every_box, boxes, points, out)
