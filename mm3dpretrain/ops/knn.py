"""k nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from . import _checks, naive


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
    return KNN(*naive.knn(query, points, k, query_lengths, lengths, norm))
