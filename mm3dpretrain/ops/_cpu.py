"""The operators on the CPU: allocate, spread over threads, call the kernels.

All functions take checked, detached CPU tensors and return tensors. Kernels are serial and release
the GIL; clouds or queries are spread over Python threads. Numba's own thread layers are avoided on
purpose: they do not survive ``fork``, which data loader workers do.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from . import _kernels
from .naive import NEAR_ORIGIN

# By process too: threads do not exist on the other side of a fork.
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _spread(task: Callable, jobs: Sequence[tuple], work: float) -> None:
    """Call ``task(*job)`` for every job on as many threads as PyTorch uses.

    Args:
        task (Callable): releases the GIL.
        jobs (Sequence[tuple]): independent argument tuples.
        work (float): rough number of seconds of all jobs; little work stays on this thread.
    """
    threads = min(torch.get_num_threads(), len(jobs)) if work > 1e-4 else 1
    if threads == 1:
        for job in jobs:
            task(*job)
        return
    queue, ticket = list(jobs), itertools.count()

    def drain() -> None:
        while (turn := next(ticket)) < len(queue):
            task(*queue[turn])

    key = os.getpid(), threads
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads - 1, 'mm3d-ops')
    pool = _pools[key]
    helpers = [pool.submit(drain) for _ in range(threads - 1)]
    try:
        drain()
    finally:
        for helper in helpers:
            if not helper.cancel():  # one that has not started is not needed any more
                helper.result()


def _ranges(total: int, parts: int) -> list[tuple[int, int]]:
    """Split ``range(total)`` into at most ``parts`` runs of nearly equal length."""
    parts = max(1, min(parts, total))
    cuts = [total * i // parts for i in range(parts + 1)]
    return list(zip(cuts[:-1], cuts[1:]))


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
    bits = np.empty(0, np.int32 if points.itemsize == 4 else np.int64)
    _spread(
        lambda begin, end: _kernels.sample(
            points, counts, starts, skip_below, bits, out, begin, end
        ),
        _ranges(batch, 4 * torch.get_num_threads()),
        work=batch * (size + num_points * 10) * 50e-9,
    )
    return torch.from_numpy(out)


def _allocate(batch: int, size: int, channels: int, leaf: int, dtype) -> tuple:
    """Empty ``order``, ``xyz`` and ``boxes`` for :func:`_kernels.build`."""
    buckets = -(-size // leaf)
    nodes = 2 * (1 << (buckets - 1).bit_length()) - 1
    return (
        np.empty((batch, buckets, leaf), np.int32),
        np.empty((batch, buckets, channels, leaf), dtype),
        np.empty((batch, nodes, channels, 2), dtype),
    )


def _tree_of(points: np.ndarray, counts: np.ndarray) -> tuple:
    batch, size, channels = points.shape
    # A tree does not prune in feature spaces: there one bucket holds all, and is searched whole.
    leaf = _kernels.LEAF if channels <= 8 else -(-size // _kernels.LEAF) * _kernels.LEAF
    tree = _allocate(batch, size, channels, leaf, points.dtype)
    _spread(
        lambda begin, end: _kernels.build(points, counts, *tree, begin, end),
        _ranges(batch, 4 * torch.get_num_threads()),
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
    _spread(
        lambda begin, end: _kernels.knn(
            *tree, counts, centers, query_counts, norm, dist, idx, begin, end
        ),
        _ranges(batch * m, 4 * torch.get_num_threads()),
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
    _spread(
        lambda begin, end: _kernels.ball(
            *tree, counts, centers, query_counts, 2, limit, pad_with_first, idx, begin, end
        ),
        _ranges(batch * m, 4 * torch.get_num_threads()),
        work=batch * m * 2e-6,
    )
    return torch.from_numpy(idx)
