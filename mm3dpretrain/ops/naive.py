"""Naive twins of the point operators: short, slow, and the definition of what is right.

Every operator of :mod:`mm3dpretrain.ops` must give the indices of its twin here, ties included
(equal distances: the lower index wins). Tests and the benchmark compare against these. They run
on any device, use memory proportional to the number of pairs, and check nothing; padding (points
past a cloud's length) may hold anything, NaN too.

A distance is always summed channel by channel in storage order, without fused multiply-add, so
that a fast kernel can reproduce it bit for bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Points with |p|^2 at or below this are never chosen by pointnet2_ops' furthest point sampling.
NEAR_ORIGIN = 1e-3


def pairwise_distance(query: Tensor, points: Tensor, norm: int = 2) -> Tensor:
    """All distances between two batches of clouds.

    Args:
        query (Tensor): (B, M, D).
        points (Tensor): (B, N, D).
        norm (int): 2 for squared Euclidean, 1 for Manhattan distance.

    Returns:
        Tensor: (B, M, N).
    """
    total = 0
    for c in range(query.shape[-1]):
        diff = query[:, :, None, c] - points[:, None, :, c]
        total = total + (diff * diff if norm == 2 else diff.abs())
    return total


def valid_mask(size: int, lengths: Tensor | None, batch: int, device) -> Tensor:
    """(B, size) bool, True for the first ``lengths[b]`` entries of row b."""
    if lengths is None:
        return torch.ones(batch, size, dtype=torch.bool, device=device)
    return torch.arange(size, device=device)[None] < lengths.to(device)[:, None]


def furthest_point_sample(
    xyz: Tensor,
    num_points: int,
    lengths: Tensor | None = None,
    start_index: int | Tensor = 0,
    skip_origin: bool = False,
) -> Tensor:
    """Twin of :func:`mm3dpretrain.ops.furthest_point_sample`: one pass over all points a sample."""
    batch, size, channels = xyz.shape
    xyz = xyz.detach()
    valid = valid_mask(size, lengths, batch, xyz.device)
    xyz = xyz.masked_fill(~valid[..., None], 0)
    dist = xyz.new_full((batch, size), float('inf')).masked_fill_(~valid, -1)
    if skip_origin:
        norm2 = pairwise_distance(xyz.new_zeros(batch, 1, channels), xyz)[:, 0]
        dist.masked_fill_(norm2.double() <= NEAR_ORIGIN, -1)
    rows = torch.arange(batch, device=xyz.device)
    farthest = torch.as_tensor(start_index, device=xyz.device).expand(batch).long()
    idx = torch.empty(batch, num_points, dtype=torch.long, device=xyz.device)
    for i in range(num_points):
        idx[:, i] = farthest
        dist = torch.minimum(dist, pairwise_distance(xyz[rows, farthest][:, None], xyz)[:, 0])
        farthest = dist.argmax(1)  # the first of equal maxima
    return idx.masked_fill(~valid_mask(num_points, lengths, batch, xyz.device), -1)


def knn(
    query: Tensor,
    points: Tensor,
    k: int,
    query_lengths: Tensor | None = None,
    lengths: Tensor | None = None,
    norm: int = 2,
) -> tuple[Tensor, Tensor]:
    """Twin of :func:`mm3dpretrain.ops.knn`: all distances, then a stable sort."""
    batch = len(query)
    valid = valid_mask(points.shape[1], lengths, batch, points.device)
    query_valid = valid_mask(query.shape[1], query_lengths, batch, points.device)
    points = torch.where(valid[..., None], points, torch.zeros_like(points))
    query = torch.where(query_valid[..., None], query, torch.zeros_like(query))
    dist = pairwise_distance(query, points, norm).masked_fill(~valid[:, None], float('inf'))
    dist, idx = dist.sort(dim=-1, stable=True)
    padding = ~valid[:, None, :k] | ~query_valid[..., None]
    return dist[..., :k].masked_fill(padding, 0), idx[..., :k].masked_fill(padding, 0)


def ball_query(
    query: Tensor,
    points: Tensor,
    radius: float,
    num_samples: int,
    query_lengths: Tensor | None = None,
    lengths: Tensor | None = None,
    inclusive: bool = False,
    pad_with_first: bool = False,
) -> Tensor:
    """Twin of :func:`mm3dpretrain.ops.ball_query`: all distances, then one query at a time."""
    batch, num_query = query.shape[:2]
    query, points = query.detach(), points.detach()
    limit = points.new_tensor(radius)
    dist2 = pairwise_distance(query, points)
    inside = dist2 <= limit * limit if inclusive else dist2 < limit * limit
    inside &= valid_mask(points.shape[1], lengths, batch, points.device)[:, None]
    inside &= valid_mask(num_query, query_lengths, batch, points.device)[..., None]
    idx = torch.full((batch, num_query, num_samples), -1, device=points.device)
    for b in range(batch):
        for m in range(num_query):
            hits = inside[b, m].nonzero()[:num_samples, 0]
            if pad_with_first:
                idx[b, m] = hits[0] if len(hits) else 0
            idx[b, m, : len(hits)] = hits
    return idx


def gather_points(features: Tensor, idx: Tensor) -> Tensor:
    """Twin of :func:`mm3dpretrain.ops.gather_points`: one cloud at a time."""
    rows = [cloud[i.clamp(min=0)] for cloud, i in zip(features, idx)]
    return torch.stack(rows) * (idx >= 0)[..., None]


group_points = gather_points


def three_nn(
    query: Tensor,
    points: Tensor,
    query_lengths: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Twin of :func:`mm3dpretrain.ops.three_nn`."""
    dist2, idx = knn(query.detach(), points.detach(), 3, query_lengths, lengths)
    return dist2.sqrt(), idx


def three_interpolate(features: Tensor, idx: Tensor, weight: Tensor) -> Tensor:
    """Twin of :func:`mm3dpretrain.ops.three_interpolate`."""
    return (gather_points(features, idx) * weight[..., None]).sum(2)


def chamfer_distance(
    x: Tensor,
    y: Tensor,
    x_lengths: Tensor | None = None,
    y_lengths: Tensor | None = None,
    norm: int = 2,
    sqrt: bool = False,
    point_reduction: str = 'mean',
    batch_reduction: str | None = 'mean',
    direction_reduction: str = 'sum',
    single_directional: bool = False,
) -> Tensor:
    """Twin of :func:`mm3dpretrain.ops.chamfer_distance`: autograd through all pairs."""
    per_cloud = []
    for b in range(len(x)):
        cloud = x[b : b + 1, : x_lengths[b] if x_lengths is not None else None]
        other = y[b : b + 1, : y_lengths[b] if y_lengths is not None else None]
        dist = pairwise_distance(cloud, other, norm)[0]
        nearest = [dist.min(1).values] + ([] if single_directional else [dist.min(0).values])
        if sqrt:
            nearest = [torch.where(d > 0, d, d.new_ones(())).sqrt() * (d > 0) for d in nearest]
        reduced = [getattr(d, point_reduction)() for d in nearest]
        total = sum(reduced)
        per_cloud.append(total / len(reduced) if direction_reduction == 'mean' else total)
    stacked = torch.stack(per_cloud)
    return stacked if batch_reduction is None else getattr(stacked, batch_reduction)()
