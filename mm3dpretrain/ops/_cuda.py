"""The operators through a CUDA library, which knows full clouds and float32 only.

Ragged batches, other start indices and -1 padding are brought into the libraries' terms here.
All functions take checked float32 tensors and an adapter from :mod:`mm3dpretrain.ops.backend`.
Ties may be broken otherwise than in the naive twins, and a fused multiply-add may differ in the
last bit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .naive import NEAR_ORIGIN, pairwise_distance, valid_mask

# Where padding goes: its squared distance is finite in float32 and beyond any real neighbour.
FAR_AWAY = 1e18


def furthest_point_sample(
    kernels, xyz: Tensor, num_points: int, lengths: Tensor | None, start: Tensor, skip_origin: bool
) -> Tensor:
    """See :func:`mm3dpretrain.ops.furthest_point_sample`.

    The kernels start at index 0 and take every point: the start changes places with point 0, and
    points to leave out become copies of the start, at distance 0 from the first sample on.
    """
    batch, size, _ = xyz.shape
    rows = torch.arange(batch, device=xyz.device)
    start = start.expand(batch).long()
    native_skip = skip_origin and hasattr(kernels, 'furthest_point_sample_skip_origin')
    ignored = ~valid_mask(size, lengths, batch, xyz.device)
    if skip_origin:
        ignored |= pairwise_distance(torch.zeros_like(xyz[:, :1]), xyz)[:, 0] <= NEAR_ORIGIN
    moved = xyz.clone(memory_format=torch.contiguous_format)
    anchor = xyz[rows, start]
    if lengths is not None or (skip_origin and not native_skip):
        moved = torch.where(ignored[..., None], anchor[:, None], moved)
    moved[rows, start] = moved[:, 0]
    moved[:, 0] = anchor
    with torch.cuda.device_of(moved):
        if native_skip:
            idx = kernels.furthest_point_sample_skip_origin(moved, num_points).long()
        else:
            idx = kernels.furthest_point_sample(moved, num_points).long()
    idx = torch.where(idx == 0, start[:, None], torch.where(idx == start[:, None], 0, idx))
    # When all distances are 0 the kernels may name any point; the twin names the first allowed.
    first = (~ignored).int().argmax(1, keepdim=True)
    idx[:, 1:] = torch.where(ignored.gather(1, idx), first, idx)[:, 1:]
    return idx.masked_fill_(~valid_mask(num_points, lengths, batch, xyz.device), -1)


def _without_padding(points: Tensor, lengths: Tensor | None) -> Tensor:
    """Contiguous points with the padding far away."""
    valid = valid_mask(points.shape[1], lengths, len(points), points.device)
    return points.masked_fill(~valid[..., None], FAR_AWAY).contiguous()


def _padding(idx: Tensor, query_lengths: Tensor | None, lengths: Tensor | None) -> Tensor:
    """(B, M, K) True where a query or the k-th neighbour of a cloud does not exist."""
    batch, m, k = idx.shape
    columns = valid_mask(k, lengths, batch, idx.device)[:, None]
    return ~(columns & valid_mask(m, query_lengths, batch, idx.device)[..., None])


def knn(
    kernels,
    query: Tensor,
    points: Tensor,
    k: int,
    query_lengths: Tensor | None,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """See :func:`mm3dpretrain.ops.knn`; norm 2, k < 100, no gradient."""
    query = _without_padding(query, query_lengths)
    with torch.cuda.device_of(points):
        idx = kernels.knn(query, _without_padding(points, lengths), k).long()
    padding = _padding(idx, query_lengths, lengths)
    idx = idx.masked_fill(padding, 0)
    rows = torch.arange(len(idx), device=idx.device)[:, None, None]
    dist2 = (query[:, :, None] - points[rows, idx]).square().sum(-1)
    return dist2.masked_fill(padding, 0), idx


def ball_query(
    kernels,
    query: Tensor,
    points: Tensor,
    radius: float,
    num_samples: int,
    query_lengths: Tensor | None,
    lengths: Tensor | None,
    pad_with_first: bool,
) -> Tensor:
    """See :func:`mm3dpretrain.ops.ball_query`; strictly inside only."""
    query, points = _without_padding(query, query_lengths), _without_padding(points, lengths)
    with torch.cuda.device_of(points):
        idx = kernels.ball_query(query, points, radius, num_samples).long()
    missing = ~valid_mask(query.shape[1], query_lengths, len(query), query.device)[..., None]
    if pad_with_first:
        return idx.masked_fill(missing, 0)
    # Hits ascend, so whatever repeats the first is padding; all zeros may also mean no hit.
    first = idx[..., :1]
    repeated = (idx == first).index_fill(2, torch.zeros(1, dtype=torch.long, device=idx.device), 0)
    limit = query.new_tensor(radius) ** 2
    outside = pairwise_distance(query, points[:, :1])[..., :1] >= limit
    missing = missing | ((idx == 0).all(-1, keepdim=True) & outside)
    return idx.masked_fill(repeated | missing, -1)


def gather(kernels, features: Tensor, idx: Tensor) -> Tensor:
    """(B, N, C), (B, M) or (B, M, K) -> (B, M, C) or (B, M, K, C); every index valid."""
    features = features.transpose(1, 2).contiguous()
    idx = idx.int().contiguous()
    with torch.cuda.device_of(features):
        if idx.dim() == 2:
            return kernels.gather_points(features, idx).transpose(1, 2)
        return kernels.group_points(features, idx).permute(0, 2, 3, 1)


def three_nn(
    kernels,
    query: Tensor,
    points: Tensor,
    query_lengths: Tensor | None,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """See :func:`mm3dpretrain.ops.three_nn`."""
    with torch.cuda.device_of(points):
        dist, idx = kernels.three_nn(
            _without_padding(query, query_lengths), _without_padding(points, lengths)
        )
    padding = _padding(idx, query_lengths, lengths)
    return dist.masked_fill(padding, 0), idx.long().masked_fill(padding, 0)


def three_interpolate(kernels, features: Tensor, idx: Tensor, weight: Tensor) -> Tensor:
    """See :func:`mm3dpretrain.ops.three_interpolate`; no gradient for the weight."""
    with torch.cuda.device_of(features):
        out = kernels.three_interpolate(
            features.transpose(1, 2).contiguous(), idx.int().contiguous(), weight.contiguous()
        )
    return out.transpose(1, 2)
