"""The operators on the CPU: allocate, spread over threads, call the kernels.

All functions take checked, detached CPU tensors and return tensors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import _fps_kernel, _jit, _search_kernel, _tree
from .naive import NEAR_ORIGIN


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.contiguous().numpy()


def _lengths(lengths: Tensor | None, batch: int, size: int) -> np.ndarray:
    return np.full(batch, size, np.int64) if lengths is None else _array(lengths)


def furthest_point_sample(
    xyz: Tensor, num_points: int, lengths: Tensor | None, start: Tensor, skip_origin: bool
) -> Tensor:
    """See :func:`mm3dpretrain.ops.furthest_point_sample`."""
    batch, size, _ = xyz.shape
    points, counts = _array(xyz), _lengths(lengths, batch, size)
    starts = np.ascontiguousarray(np.broadcast_to(start.numpy(), batch), dtype=np.int64)
    out = np.full((batch, num_points), -1, np.int64)
    skip_below = NEAR_ORIGIN if skip_origin else -1.0
    # A job a cloud where clouds are large, so that threads stay busy; else few jobs.
    jobs = _jit.ranges(batch, batch if size > 512 else 8)
    _jit.spread(
        lambda begin, end: _fps_kernel.sample(points, counts, starts, skip_below, out, begin, end),
        jobs,
        work=batch * (size + num_points * 10) * 50e-9,
    )
    return torch.from_numpy(out)


def _tree_of(points: np.ndarray, counts: np.ndarray) -> tuple:
    batch, size, channels = points.shape
    # A tree does not prune in feature spaces: there one bucket holds all, and is searched whole.
    leaf = _tree.LEAF if channels <= 8 else -(-size // _tree.LEAF) * _tree.LEAF
    tree = _tree.allocate(batch, size, channels, leaf, points.dtype)
    _jit.spread(
        lambda begin, end: _tree.build(points, counts, leaf, *tree, begin, end),
        _jit.ranges(batch, batch if size > 512 else 8),
        work=batch * size * 50e-9,
    )
    return tree


def knn(
    query: Tensor,
    points: Tensor,
    k: int,
    query_lengths: Tensor | None,
    lengths: Tensor | None,
    norm: int,
) -> tuple[Tensor, Tensor]:
    """See :func:`mm3dpretrain.ops.knn`; the distances carry no gradient."""
    batch, m, _ = query.shape
    counts = _lengths(lengths, batch, points.shape[1])
    query_counts = _lengths(query_lengths, batch, m)
    tree = _tree_of(_array(points), counts)
    centers = _array(query)
    dist = np.empty((batch, m, k), centers.dtype)
    idx = np.empty((batch, m, k), np.int64)
    _jit.spread(
        lambda begin, end: _search_kernel.knn(
            *tree, counts, centers, query_counts, norm, dist, idx, begin, end
        ),
        _jit.ranges(batch * m, 16),
        work=batch * m * (k + 5) * 60e-9,
    )
    return torch.from_numpy(dist), torch.from_numpy(idx)


def ball_query(
    query: Tensor,
    points: Tensor,
    radius: float,
    num_samples: int,
    query_lengths: Tensor | None,
    lengths: Tensor | None,
    inclusive: bool,
    pad_with_first: bool,
) -> Tensor:
    """See :func:`mm3dpretrain.ops.ball_query`."""
    batch, m, _ = query.shape
    counts = _lengths(lengths, batch, points.shape[1])
    query_counts = _lengths(query_lengths, batch, m)
    tree = _tree_of(_array(points), counts)
    centers = _array(query)
    radius = centers.dtype.type(radius)
    limit = radius * radius
    if inclusive:  # d <= limit is d < the next number
        limit = np.nextafter(limit, centers.dtype.type(np.inf))
    idx = np.empty((batch, m, num_samples), np.int64)
    _jit.spread(
        lambda begin, end: _search_kernel.ball(
            *tree, counts, centers, query_counts, limit, pad_with_first, idx, begin, end
        ),
        _jit.ranges(batch * m, 16),
        work=batch * m * 2e-6,
    )
    return torch.from_numpy(idx)
