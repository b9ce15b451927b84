"""Balanced k-d trees of small buckets: the CPU kernels' common ground.

``n`` points in ``ceil(n / leaf)`` buckets; all but the last are full, so bucket b holds the
positions ``[b * leaf, (b + 1) * leaf)`` of a permutation and needs no pointers. A node covers a
run of buckets ``[first, last)``, its children ``[first, mid)`` and ``[mid, last)`` with
``mid = (first + last) // 2``; nodes are numbered as in a heap (children of i: 2i + 1, 2i + 2).

Pruning is exact in floating point: the distance to a box is summed in the same order as the
distance to a point, and subtraction, square and sum round monotonically, so the former never
exceeds the latter.
"""

from __future__ import annotations

import numpy as np

from ._jit import kernel

LEAF = 64  # points per bucket; a multiple of every vector width
NO_POINT = np.int32(2**31 - 1)


@kernel
def median3(a, b, c):
    return max(min(a, b), min(max(a, b), c))


@kernel
def select(keys, order, first, last, nth):
    """Permute ``keys[first:last]`` (and ``order``) so that position ``nth`` is as if sorted."""
    while last - first > 1:
        step = (last - first) // 9
        if step < 8:
            pivot = median3(keys[first], keys[(first + last) // 2], keys[last - 1])
        else:  # median of medians of nine: close to the true median
            pivot = median3(
                median3(keys[first], keys[first + step], keys[first + 2 * step]),
                median3(keys[first + 3 * step], keys[first + 4 * step], keys[first + 5 * step]),
                median3(keys[first + 6 * step], keys[first + 7 * step], keys[last - 1]),
            )
        # Without branches: random comparisons would be mispredicted half of the time.
        cut = first
        for j in range(first, last):
            key, point = keys[j], order[j]
            keys[j], order[j] = keys[cut], order[cut]
            keys[cut], order[cut] = key, point
            cut += np.int64(key < pivot)
        if nth < cut:
            last = cut
            continue
        same = cut  # keys equal to the pivot: many in clouds with repeated coordinates
        for j in range(cut, last):
            key, point = keys[j], order[j]
            keys[j], order[j] = keys[same], order[same]
            keys[same], order[same] = key, point
            same += np.int64(key <= pivot)
        if nth < same:
            return
        first = same


@kernel
def sort_into_buckets(points, n, leaf, order):
    """Fill ``order[:n]`` with the points' indices, bucket by bucket.

    Args:
        points: (N, D), the first ``n`` rows count.
        leaf: points per bucket.
        order: (>= n,) int32, output.
    """
    channels = points.shape[1]
    for i in range(n):
        order[i] = i
    buckets = (n + leaf - 1) // leaf
    if buckets == 1:
        return
    keys = np.empty(n, points.dtype)
    # Nodes that still have to be split: run of buckets and the cell they came from. The depth of
    # the stack is at most that of the tree.
    runs = np.empty((64, 2), np.int64)
    cells = np.empty((64, channels, 2), points.dtype)
    for d in range(channels):
        low = high = points[0, d]
        for i in range(n):
            low, high = min(low, points[i, d]), max(high, points[i, d])
        cells[0, d, 0], cells[0, d, 1] = low, high
    runs[0, 0], runs[0, 1] = 0, buckets
    top = 1
    while top > 0:
        top -= 1
        first, last = runs[top, 0], runs[top, 1]
        axis = 0
        for d in range(1, channels):
            if cells[top, d, 1] - cells[top, d, 0] > cells[top, axis, 1] - cells[top, axis, 0]:
                axis = d
        mid = (first + last) // 2
        start, nth, stop = first * leaf, mid * leaf, min(last * leaf, n)
        for j in range(start, stop):
            keys[j] = points[order[j], axis]
        select(keys, order, start, stop, nth)
        cut, high = keys[nth], cells[top, axis, 1]
        if mid - first > 1:
            cells[top, axis, 1] = cut
            runs[top, 0], runs[top, 1] = first, mid
            if last - mid > 1:
                for d in range(channels):
                    cells[top + 1, d, 0], cells[top + 1, d, 1] = cells[top, d, 0], cells[top, d, 1]
            top += 1
        if last - mid > 1:
            cells[top, axis, 0], cells[top, axis, 1] = cut, high
            runs[top, 0], runs[top, 1] = mid, last
            top += 1


@kernel
def build(points, lengths, leaf, order, xyz, boxes, begin, end):
    """Build the search trees of clouds ``begin`` to ``end``.

    Args:
        points: (B, N, D).
        lengths: (B,) points that count.
        leaf: points per bucket.
        order: (B, buckets, leaf) int32, output: index of each point, NO_POINT in free places.
        xyz: (B, buckets, D, leaf), output: coordinates, infinite in free places.
        boxes: (B, nodes, D, 2), output: bounds of every node that is in use.
        begin, end: clouds of this call.
    """
    channels = points.shape[2]
    for cloud in range(begin, end):
        n = lengths[cloud]
        buckets = (n + leaf - 1) // leaf
        flat = order[cloud].reshape(-1)
        sort_into_buckets(points[cloud], n, leaf, flat)
        flat[n : buckets * leaf] = NO_POINT
        for b in range(buckets):
            for d in range(channels):
                for j in range(leaf):
                    i = order[cloud, b, j]
                    xyz[cloud, b, d, j] = np.inf if i == NO_POINT else points[cloud, i, d]
        bound(boxes[cloud], xyz[cloud], n, leaf)


@kernel
def bound(boxes, xyz, n, leaf):
    """Set the boxes of all nodes: a bucket's from its points, others from their children's."""
    channels = xyz.shape[1]
    runs = np.zeros((len(boxes), 2), np.int64)  # [first, last) bucket; empty where unused
    runs[0, 1] = (n + leaf - 1) // leaf
    for node in range(len(boxes)):
        first, last = runs[node, 0], runs[node, 1]
        if last - first > 1:
            mid = (first + last) // 2
            runs[2 * node + 1, 0], runs[2 * node + 1, 1] = first, mid
            runs[2 * node + 2, 0], runs[2 * node + 2, 1] = mid, last
    for node in range(len(boxes) - 1, -1, -1):
        first, last = runs[node, 0], runs[node, 1]
        if last - first > 1:
            for d in range(channels):
                boxes[node, d, 0] = min(boxes[2 * node + 1, d, 0], boxes[2 * node + 2, d, 0])
                boxes[node, d, 1] = max(boxes[2 * node + 1, d, 1], boxes[2 * node + 2, d, 1])
        elif last - first == 1:
            for d in range(channels):
                low = high = xyz[first, d, 0]
                for j in range(min(leaf, n - first * leaf)):
                    low, high = min(low, xyz[first, d, j]), max(high, xyz[first, d, j])
                boxes[node, d, 0], boxes[node, d, 1] = low, high


@kernel
def box_distance(box, query, norm):
    """Distance of ``query`` (D,) to a box (D, 2): squared (norm 2) or Manhattan (norm 1)."""
    total = query.dtype.type(0)
    for d in range(len(query)):
        gap = max(max(box[d, 0] - query[d], query[d] - box[d, 1]), query.dtype.type(0))
        total += gap * gap if norm == 2 else gap
    return total


@kernel
def bucket_distances(xyz, query, norm, out):
    """Distances of ``query`` (D,) to the points (D, leaf) of a bucket."""
    out[:] = 0
    for d in range(len(query)):
        row, q = xyz[d], query[d]
        if norm == 2:
            for j in range(len(row)):
                diff = row[j] - q
                out[j] += diff * diff
        else:
            for j in range(len(row)):
                out[j] += abs(row[j] - q)


def allocate(batch: int, size: int, channels: int, leaf: int, dtype) -> tuple:
    """Empty ``order``, ``xyz`` and ``boxes`` for :func:`build`."""
    buckets = -(-size // leaf)
    nodes = 2 * (1 << (buckets - 1).bit_length()) - 1
    return (
        np.empty((batch, buckets, leaf), np.int32),
        np.empty((batch, buckets, channels, leaf), dtype),
        np.empty((batch, nodes, channels, 2), dtype),
    )
