"""Ball query."""

from __future__ import annotations

import math

from torch import Tensor

from . import _checks, _cuda, _torch, backend


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
    """Find the first points, in index order, inside a ball around every query.

    Args:
        query (Tensor): (B, M, D) centres.
        points (Tensor): (B, N, D).
        radius (float): radius of the balls, in the unit of the points, > 0.
        num_samples (int): at most so many points per ball; may exceed N.
        query_lengths (Tensor | None): (B,) valid queries per cloud, in [1, M]; None: M.
        lengths (Tensor | None): (B,) valid points per cloud, in [1, N]; None: N.
        inclusive (bool): False: ``d^2 < r^2`` (PyTorch3D, mmcv, pointnet2_ops);
            True: ``d^2 <= r^2`` (OpenShape).
        pad_with_first (bool): False: the places that stay free hold -1 (PyTorch3D). True: they
            repeat the first point found, or 0 where there is none (mmcv, pointnet2_ops).

    Returns:
        Tensor: (B, M, num_samples) int64 indices.

    Raises:
        ValueError: wrong shape, dtype, range, or a coordinate that is NaN or infinite.
    """
    query_lengths = _checks.lengths_of('query_lengths', query_lengths, query)
    lengths = _checks.lengths_of('lengths', lengths, points)
    query = _checks.cloud('query', query, query_lengths).detach()
    points = _checks.cloud('points', points, lengths).detach()
    query, points = _checks.pair('query', query, 'points', points)
    num_samples = _checks.count('num_samples', num_samples)
    if not (radius > 0 and math.isfinite(radius)):
        raise ValueError(f'radius must be positive and finite, got {radius!r}')
    options = (query, points, radius, num_samples, query_lengths, lengths)
    if backend.use_own_kernels(points):
        from . import _cpu

        return _cpu.ball_query(*options, inclusive, pad_with_first)
    if not inclusive and points.shape[2] == 3:
        kernels = backend.cuda_kernels('ball_query', query, points)
        if kernels is not None:
            return _cuda.ball_query(kernels, *options, pad_with_first)
    return _torch.ball_query(*options, inclusive, pad_with_first)
