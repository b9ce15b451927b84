"""k nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import _checks, _cuda, _torch, backend
from .naive import valid_mask


class KNN(NamedTuple):
    """Result of :func:`knn`.

    Attributes:
        dist2 (Tensor): (B, M, k) ascending; squared Euclidean (norm 2) or Manhattan (norm 1)
            distances, 0 in padding. Differentiable.
        idx (Tensor): (B, M, k) int64, 0 in padding.
    """

    dist2: Tensor
    idx: Tensor


def knn(
    query: Tensor,
    points: Tensor,
    k: int,
    query_lengths: Tensor | None = None,
    lengths: Tensor | None = None,
    norm: int = 2,
) -> KNN:
    """Find the k nearest points of every query, nearest first.

    Of equally near points the one with the lower index comes first. Entries past the length of
    a cloud (``k > lengths[b]``) and rows past ``query_lengths[b]`` hold index 0 and distance 0.

    Args:
        query (Tensor): (B, M, D).
        points (Tensor): (B, N, D).
        k (int): neighbours, at most N.
        query_lengths (Tensor | None): (B,) valid queries per cloud, in [1, M]; None: M.
        lengths (Tensor | None): (B,) valid points per cloud, in [1, N]; None: N.
        norm (int): 2 (squared Euclidean) or 1 (Manhattan).

    Returns:
        KNN: distances (gradients reach both clouds) and indices.

    Raises:
        ValueError: wrong shape, dtype, range, or a coordinate that is NaN or infinite.
    """
    query_lengths = _checks.lengths_of('query_lengths', query_lengths, query)
    lengths = _checks.lengths_of('lengths', lengths, points)
    query = _checks.cloud('query', query, query_lengths)
    points = _checks.cloud('points', points, lengths)
    query, points = _checks.pair('query', query, 'points', points)
    k = _checks.count('k', k, points.shape[1], 'points has only')
    _checks.choice('norm', norm, (1, 2))
    if torch.is_grad_enabled() and (query.requires_grad or points.requires_grad):
        return KNN(*_Neighbors.apply(query, points, k, query_lengths, lengths, norm))
    return KNN(*search(query.detach(), points.detach(), k, query_lengths, lengths, norm))


def search(
    query: Tensor,
    points: Tensor,
    k: int,
    query_lengths: Tensor | None,
    lengths: Tensor | None,
    norm: int,
) -> tuple[Tensor, Tensor]:
    """:func:`knn` of checked inputs without gradient, by the best kernel there is."""
    # The kernel packs distance and index into 64 bits, and inserts in a time linear in k.
    if backend.use_own_kernels(points) and points.dtype == torch.float32 and k <= 1024:
        from . import _cpu

        return _cpu.knn(query, points, k, query_lengths, lengths, norm)
    if norm == 2 and k < 100 and points.shape[2] == 3:  # mmcv's limits
        kernels = backend.cuda_kernels('knn', query, points)
        if kernels is not None:
            return _cuda.knn(kernels, query, points, k, query_lengths, lengths)
    return _torch.knn(query, points, k, query_lengths, lengths, norm)


class _Neighbors(torch.autograd.Function):
    """Distances with a gradient that keeps the two clouds and the indices, nothing per pair."""

    @staticmethod
    def forward(ctx, query, points, k, query_lengths, lengths, norm):
        dist, idx = search(query.detach(), points.detach(), k, query_lengths, lengths, norm)
        ctx.save_for_backward(query, points, idx, query_lengths, lengths)
        ctx.norm = norm
        ctx.mark_non_differentiable(idx)
        ctx.set_materialize_grads(False)
        return dist, idx

    @staticmethod
    def backward(ctx, grad, _):
        if grad is None:
            return (None,) * 6
        query, points, idx, query_lengths, lengths = ctx.saved_tensors
        batch, m, k = idx.shape
        size, channels = points.shape[1:]
        rows = (idx + torch.arange(batch, device=idx.device)[:, None, None] * size).flatten()
        chosen = points.reshape(-1, channels).index_select(0, rows).view(batch, m, k, channels)
        diff = query[:, :, None] - chosen
        slope = 2 * diff if ctx.norm == 2 else diff.sign()
        slope = slope * grad[..., None]
        if query_lengths is not None or lengths is not None:
            valid = valid_mask(m, query_lengths, batch, idx.device)[:, :, None]
            valid = valid & valid_mask(k, lengths, batch, idx.device)[:, None]
            slope = slope.masked_fill(~valid[..., None], 0)
        grad_query = slope.sum(2) if ctx.needs_input_grad[0] else None
        grad_points = None
        if ctx.needs_input_grad[1]:
            grad_points = torch.zeros_like(points).view(-1, channels)
            grad_points = grad_points.index_add(0, rows, -slope.reshape(-1, channels))
            grad_points = grad_points.view_as(points)
        return grad_query, grad_points, None, None, None, None
