"""Gathering of points and features by index, channels last."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _checks, _cuda, backend


def gather_points(features: Tensor, idx: Tensor) -> Tensor:
    """Take one row of ``features`` per index; index -1 gives a row of zeros.

    Args:
        features (Tensor): (B, N, C) of any dtype; gradients reach it.
        idx (Tensor): (B, M) int32 or int64 in [-1, N).

    Returns:
        Tensor: (B, M, C).

    Raises:
        ValueError: wrong shape or dtype, or an index out of range.
    """
    return _take(features, idx, 2)


def group_points(features: Tensor, idx: Tensor) -> Tensor:
    """Take K rows of ``features`` for each of M groups; index -1 gives a row of zeros.

    Args:
        features (Tensor): (B, N, C) of any dtype; gradients reach it.
        idx (Tensor): (B, M, K) int32 or int64 in [-1, N), as :func:`knn` or :func:`ball_query`
            give it.

    Returns:
        Tensor: (B, M, K, C).

    Raises:
        ValueError: wrong shape or dtype, or an index out of range.
    """
    return _take(features, idx, 3)


def _take(features: Tensor, idx: Tensor, dims: int) -> Tensor:
    if not isinstance(features, Tensor) or features.dim() != 3 or 0 in features.shape:
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f'features must be a tensor (B, N, C) and not empty, got {got}')
    batch, size, channels = features.shape
    idx = _checks.indices('idx', idx, size, batch, dims)
    if idx.device != features.device:
        raise ValueError(f'features is on {features.device}, idx on {idx.device}')
    kernels = backend.cuda_kernels(('gather_points', 'group_points')[dims - 2], features)
    chosen = idx.clamp(min=0)
    if kernels is not None:
        rows = _cuda.gather(kernels, features, chosen)
    else:
        offset = torch.arange(batch, device=idx.device).view(-1, *[1] * (dims - 1)) * size
        rows = features.reshape(-1, channels).index_select(0, (chosen + offset).flatten())
        rows = rows.view(*idx.shape, channels)
    return rows.masked_fill((idx < 0)[..., None], 0)
