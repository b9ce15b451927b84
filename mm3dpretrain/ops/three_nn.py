"""Three nearest neighbours and interpolation from them, as in PointNet++ (sec. 3.4)."""

from __future__ import annotations

from torch import Tensor

from . import _checks, _cuda, backend
from .gather import group_points
from .knn import search


def three_nn(
    query: Tensor,
    points: Tensor,
    query_lengths: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Find the three nearest points of every query.

    Args:
        query (Tensor): (B, M, D).
        points (Tensor): (B, N, D), N >= 3.
        query_lengths (Tensor | None): (B,) valid queries per cloud; None: M.
        lengths (Tensor | None): (B,) valid points per cloud; None: N.

    Returns:
        tuple[Tensor, Tensor]: Euclidean distances (B, M, 3), ascending, without gradient as in
        the PointNet++ code, and int64 indices (B, M, 3). Padding as in :func:`knn`.

    Raises:
        ValueError: fewer than three points, or as :func:`knn`.
    """
    query_lengths = _checks.lengths_of('query_lengths', query_lengths, query)
    lengths = _checks.lengths_of('lengths', lengths, points)
    query = _checks.cloud('query', query, query_lengths).detach()
    points = _checks.cloud('points', points, lengths).detach()
    query, points = _checks.pair('query', query, 'points', points)
    _checks.count('three_nn: k', 3, points.shape[1], 'points has only')
    if points.shape[2] == 3:
        kernels = backend.cuda_kernels('three_nn', query, points)
        if kernels is not None:
            return _cuda.three_nn(kernels, query, points, query_lengths, lengths)
    dist2, idx = search(query, points, 3, query_lengths, lengths, 2)
    return dist2.sqrt_(), idx


def three_interpolate(features: Tensor, idx: Tensor, weight: Tensor) -> Tensor:
    """Weighted sum of three feature rows per query.

    Args:
        features (Tensor): (B, N, C); gradients reach it.
        idx (Tensor): (B, M, 3) int32 or int64, from :func:`three_nn`.
        weight (Tensor): (B, M, 3), usually ``1 / distance`` normalised to sum 1; gradients
            reach it.

    Returns:
        Tensor: (B, M, C).

    Raises:
        ValueError: shapes that do not fit, or an index out of range.
    """
    idx_shape = tuple(idx.shape) if isinstance(idx, Tensor) else type(idx).__name__
    shape = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
    if idx_shape != shape or len(shape) != 3 or shape[2] != 3:
        raise ValueError(f'idx and weight must both be (B, M, 3), got {idx_shape} and {shape}')
    kernels = None
    if isinstance(features, Tensor) and features.dim() == 3 and not weight.requires_grad:
        kernels = backend.cuda_kernels('three_interpolate', features, weight)
    if kernels is not None:
        _checks.indices('idx', idx, features.shape[1], len(features), 3)
        if idx.min() >= 0:  # the kernels know no -1
            return _cuda.three_interpolate(kernels, features, idx, weight)
    return (group_points(features, idx) * weight[..., None]).sum(2)
