"""Three nearest neighbours and interpolation from them, as in PointNet++ (sec. 3.4)."""

from __future__ import annotations

from torch import Tensor

from .gather import group_points
from .knn import knn


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
    result = knn(
        query.detach() if isinstance(query, Tensor) else query,
        points.detach() if isinstance(points, Tensor) else points,
        3,
        query_lengths,
        lengths,
    )
    return result.dist2.sqrt(), result.idx


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
    if not isinstance(weight, Tensor) or weight.shape != idx.shape or idx.shape[-1] != 3:
        got = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise ValueError(f'idx and weight must both be (B, M, 3), got {tuple(idx.shape)}, {got}')
    return (group_points(features, idx) * weight[..., None]).sum(2)
