"""Twins of mmcv's operators in plain PyTorch: short, slow, and the definition of what is right.

They have the arguments and results of ``mmcv.ops``, run on any device, are differentiable by
autograd where the operator has a gradient, and check nothing. Tests and the benchmark compare
against them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...ops import naive as twins


def furthest_point_sample(points_xyz: Tensor, num_points: int) -> Tensor:
    """(B, N, 3) -> (B, num_points) int32."""
    return twins.furthest_point_sample(points_xyz, num_points).int()


def furthest_point_sample_with_dist(points_dist: Tensor, num_points: int) -> Tensor:
    """(B, N, N) -> (B, num_points) int32."""
    batch, size, _ = points_dist.shape
    rows = torch.arange(batch, device=points_dist.device)
    nearest = points_dist.new_full((batch, size), 1e10)
    idx = torch.zeros(batch, num_points, dtype=torch.int32, device=points_dist.device)
    for i in range(1, num_points):
        nearest = torch.minimum(nearest, points_dist[rows, idx[:, i - 1].long()])
        idx[:, i] = nearest.argmax(1)
    return idx


def ball_query(
    min_radius: float, max_radius: float, sample_num: int, xyz: Tensor, center_xyz: Tensor
) -> Tensor:
    """(B, N, 3), (B, M, 3) -> (B, M, sample_num) int32."""
    size = xyz.shape[1]
    d = twins.pairwise_distance(center_xyz, xyz)
    low, high = (xyz.new_tensor(radius).square() for radius in (min_radius, max_radius))
    inside = (d == 0) | ((d >= low) & (d < high))
    order = torch.arange(size, device=xyz.device).expand_as(inside)
    order = order.masked_fill(~inside, size).sort(-1).values[..., :sample_num]
    order = torch.nn.functional.pad(order, (0, sample_num - order.shape[2]), value=size)
    idx = torch.where(order < size, order, order[..., :1])
    return idx.masked_fill(idx == size, 0).int()


def stack_ball_query(
    max_radius: float, sample_num: int, xyz: Tensor, center_xyz: Tensor, counts, center_counts
) -> Tensor:
    """(N1 + N2 ..., 3), (M1 + M2 ..., 3) -> (M1 + M2 ..., sample_num) int32, -1 first if empty."""
    rows = []
    clouds = zip(xyz.split(list(counts)), center_xyz.split(list(center_counts)))
    for points, centers in clouds:
        idx = ball_query(0.0, max_radius, sample_num, points[None], centers[None])[0]
        nearest = twins.pairwise_distance(centers[None], points[None])[0].min(1).values
        empty = nearest >= xyz.new_tensor(max_radius).square()
        idx[empty, 0] = -1
        rows.append(idx)
    return torch.cat(rows)


def knn(k: int, xyz: Tensor, center_xyz: Tensor) -> Tensor:
    """(B, N, 3), (B, M, 3) -> (B, k, M) int32, nearest first."""
    return twins.knn(center_xyz, xyz, k)[1].transpose(1, 2).int()


def three_nn(target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """(B, N, 3), (B, M, 3) -> distances and int32 indices (B, N, 3)."""
    dist, idx = twins.three_nn(target, source)
    return dist, idx.int()


def gather_points(features: Tensor, indices: Tensor) -> Tensor:
    """(B, C, N), (B, M) -> (B, C, M)."""
    return features.gather(2, indices.long()[:, None].expand(-1, features.shape[1], -1))


def grouping_operation(features: Tensor, indices: Tensor) -> Tensor:
    """(B, C, N), (B, M, K) -> (B, C, M, K)."""
    return gather_points(features, indices.flatten(1)).unflatten(2, indices.shape[1:])


def stack_grouping_operation(features: Tensor, indices: Tensor, counts, idx_counts) -> Tensor:
    """(N1 + N2 ..., C), (M1 + M2 ..., K) -> (M1 + M2 ..., C, K)."""
    pairs = zip(features.split(list(counts)), indices.long().split(list(idx_counts)))
    return torch.cat([cloud[idx].transpose(1, 2) for cloud, idx in pairs])


def three_interpolate(features: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    """(B, C, N), (B, M, 3), (B, M, 3) -> (B, C, M); the weights get no gradient."""
    return (grouping_operation(features, indices) * weight.detach()[:, None]).sum(-1)


def dynamic_scatter(feats: Tensor, coors: Tensor, reduce_type: str) -> tuple[Tensor, Tensor]:
    """(N, C), (N, D) -> (V, C), (V, D)."""
    usable = (coors >= 0).all(1)
    voxels, voxel_of, counts = coors[usable].unique(dim=0, return_inverse=True, return_counts=True)
    out = feats.new_zeros(len(voxels), feats.shape[1])
    if reduce_type == 'max':
        where = voxel_of[:, None].expand(-1, feats.shape[1])
        return out.scatter_reduce(0, where, feats[usable], 'amax', include_self=False), voxels
    out = out.index_add(0, voxel_of, feats[usable])
    return (out / counts[:, None] if reduce_type == 'mean' else out), voxels


def points_in_boxes_all(points: Tensor, boxes: Tensor) -> Tensor:
    """(B, M, 3), (B, T, 7) -> (B, M, T) int32."""
    d = points[:, :, None] - boxes[:, None, :, :3]
    cosine, sine = boxes[:, None, :, 6].cos(), boxes[:, None, :, 6].sin()
    half = boxes[:, None, :, 3:6] * 0.5
    middle = boxes[:, None, :, 2] + half[..., 2]
    x = d[..., 0] * cosine + d[..., 1] * sine
    y = d[..., 1] * cosine - d[..., 0] * sine
    inside = (points[:, :, None, 2] - middle).abs() <= half[..., 2]
    inside &= (x > -half[..., 0]) & (x < half[..., 0])
    return (inside & (y > -half[..., 1]) & (y < half[..., 1])).int()


def points_in_boxes_part(points: Tensor, boxes: Tensor) -> Tensor:
    """(B, M, 3), (B, T, 7) -> (B, M) int32, -1 for none."""
    inside = points_in_boxes_all(points, boxes)
    return torch.where(inside.any(-1), inside.argmax(-1), -1).int()


def _corners(box: Tensor) -> Tensor:
    """(7,) -> (4, 2), turning left."""
    signs = box.new_tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    cosine, sine = box[6].cos(), box[6].sin()
    turn = torch.stack([torch.stack([cosine, sine]), torch.stack([-sine, cosine])])
    return (signs * box[3:5]) @ turn + box[:2]


def shared_area(a: Tensor, b: Tensor) -> float:
    """Area that two boxes (7,) share from above: b's corners cut at each side of a."""
    polygon, sides = list(_corners(b.double())), _corners(a.double())
    for start, end in zip(sides, sides.roll(-1, 0)):
        along = end - start
        left = [float(along[0] * (p - start)[1] - along[1] * (p - start)[0]) for p in polygon]
        cut = []
        for i, p in enumerate(polygon):
            j = (i + 1) % len(polygon)
            if left[i] >= 0:
                cut.append(p)
            if left[i] * left[j] < 0:
                cut.append(p + (polygon[j] - p) * (left[i] / (left[i] - left[j])))
        polygon = cut
        if not polygon:
            return 0.0
    ring = torch.stack(polygon)
    after = ring.roll(-1, 0)
    return abs(float((ring[:, 0] * after[:, 1] - ring[:, 1] * after[:, 0]).sum())) / 2


def boxes_overlap_bev(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    """(N, 7), (M, 7) -> (N, M)."""
    areas = [[shared_area(a, b) for b in boxes_b] for a in boxes_a]
    return boxes_a.new_tensor(areas).view(len(boxes_a), len(boxes_b))


def nms3d(boxes: Tensor, scores: Tensor, iou_threshold: float, rotated: bool = True) -> Tensor:
    """(N, 7), (N,) -> kept indices, best first."""
    order = scores.sort(descending=True).indices
    boxes = boxes[order].clone()
    if not rotated:
        boxes[:, 6] = 0
    shared = boxes_overlap_bev(boxes, boxes)
    area = boxes[:, 3] * boxes[:, 4]
    iou = shared / (area[:, None] + area - shared).clamp(min=1e-8)
    keep: list[int] = []
    for i in range(len(boxes)):
        if not any(iou[j, i] > iou_threshold for j in keep):
            keep.append(i)
    return order[keep]


def rotate_iou(boxes: Tensor, query_boxes: Tensor) -> Tensor:
    """IoU of KITTI's (N, 5), (K, 5): x, z, l, w and a rotation from x towards -z -> (N, K)."""

    def upright(rows: Tensor) -> Tensor:
        zero = torch.zeros_like(rows[:, :1])
        return torch.cat([rows[:, :2], zero, rows[:, 2:4], zero + 1, -rows[:, 4:]], 1)

    shared = boxes_overlap_bev(upright(boxes.double()), upright(query_boxes.double()))
    areas = (boxes[:, 2] * boxes[:, 3])[:, None] + query_boxes[:, 2] * query_boxes[:, 3]
    return shared / (areas - shared).clamp(min=math.ulp(1.0))
