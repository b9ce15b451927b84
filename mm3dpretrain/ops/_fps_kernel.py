"""CPU kernel of furthest point sampling.

Points live in the buckets of a k-d tree, each with its bounding box and its furthest point. A new
sample touches only buckets whose box is nearer to it than their furthest point is to the earlier
samples (the pruning of QuickFPS, Han et al. 2023, arXiv:2307.02760); all others cannot change.
"""

from __future__ import annotations

import numpy as np

from ._jit import kernel
from ._tree import LEAF, NO_POINT, sort_into_buckets


@kernel
def furthest(dist, index):
    """(largest distance, lowest index that has it)."""
    best = dist[0]
    for j in range(len(dist)):
        best = max(best, dist[j])
    chosen = NO_POINT
    for j in range(len(dist)):
        chosen = min(chosen, index[j] if dist[j] == best else NO_POINT)
    return best, chosen


@kernel
def sample_cloud(points, n, start, skip_below, out):
    """Sample one cloud.

    Args:
        points: (N, D), the first ``n`` rows count.
        start: index of the first sample.
        skip_below: points with |p|^2 at or below this are never chosen; negative: none.
        out: (num,) int64, output; num may exceed n, the rest is left as it is.
    """
    channels = points.shape[1]
    dtype = points.dtype
    buckets = (n + LEAF - 1) // LEAF
    order = np.empty((buckets, LEAF), np.int32)
    flat = order.reshape(-1)
    sort_into_buckets(points, n, LEAF, flat)
    flat[n:] = order[buckets - 1, 0]
    xyz = np.empty((buckets, channels, LEAF), dtype)
    low, high = np.empty((channels, buckets), dtype), np.empty((channels, buckets), dtype)
    for b in range(buckets):
        for d in range(channels):
            low[d, b] = high[d, b] = points[order[b, 0], d]
            for j in range(LEAF):
                value = points[order[b, j], d]
                xyz[b, d, j] = value
                low[d, b], high[d, b] = min(low[d, b], value), max(high[d, b], value)
    dist = np.full((buckets, LEAF), np.inf, dtype)  # to the nearest sample; -1: never chosen
    dist.reshape(-1)[n:] = -1
    if skip_below >= 0:
        for b in range(buckets):
            for j in range(LEAF):
                norm = dtype.type(0)
                for d in range(channels):
                    norm += xyz[b, d, j] * xyz[b, d, j]
                if np.float64(norm) <= skip_below:
                    dist[b, j] = -1
    far_dist = np.full(buckets, np.inf, dtype)
    far_index = np.zeros(buckets, np.int32)
    gap = np.empty(buckets, dtype)
    fresh = np.empty(LEAF, dtype)
    chosen = start
    count = min(len(out), n)
    for i in range(count):
        out[i] = chosen
        if i == count - 1:
            break
        gap[:] = 0
        for d in range(channels):
            c, lo, hi = points[chosen, d], low[d], high[d]
            for b in range(buckets):
                outside = max(max(lo[b] - c, c - hi[b]), dtype.type(0))
                gap[b] += outside * outside
        for b in range(buckets):
            if gap[b] < far_dist[b]:
                fresh[:] = 0
                for d in range(channels):
                    c, row = points[chosen, d], xyz[b, d]
                    for j in range(LEAF):
                        diff = row[j] - c
                        fresh[j] += diff * diff
                known = dist[b]
                for j in range(LEAF):
                    known[j] = min(known[j], fresh[j])
                far_dist[b], far_index[b] = furthest(known, order[b])
        chosen = np.int64(furthest(far_dist, far_index)[1])


@kernel
def sample(points, lengths, starts, skip_below, out, begin, end):
    """Sample clouds ``begin`` to ``end`` of ``points`` (B, N, D) into ``out`` (B, num)."""
    for cloud in range(begin, end):
        sample_cloud(points[cloud], lengths[cloud], starts[cloud], skip_below, out[cloud])
