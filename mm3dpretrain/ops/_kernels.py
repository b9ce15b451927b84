"""Numba kernels of the CPU operators: balanced k-d trees of small buckets, and what uses them.

``n`` points lie in ``ceil(n / leaf)`` buckets; all but the last are full, so bucket b holds the
places ``[b * leaf, (b + 1) * leaf)`` of a permutation and needs no pointers. A node covers a run
of buckets ``[first, last)``, its children ``[first, mid)`` and ``[mid, last)`` with
``mid = (first + last) // 2``; nodes are numbered as in a heap (children of i: 2i + 1, 2i + 2).

Pruning is exact in floating point: the distance to a box is summed in the same order as the
distance to a point, and subtraction, square and sum round monotonically, so the former never
exceeds the latter.

All kernels are in this one file because Numba's cache on disk only notices changes of the file
that a kernel is defined in, not of kernels that it calls.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

try:
    import numba
except ImportError as error:  # pragma: no cover
    raise ImportError(
        'The CPU kernels of mm3dpretrain.ops need numba: pip install numba. '
        "Without it, mm3dpretrain.ops.set_backend('torch') uses plain PyTorch."
    ) from error

LEAF = 64  # points per bucket; a multiple of every vector width
FEW = 128  # up to so many samples are found faster without a tree (as measured)
NO_POINT = np.int32(2**31 - 1)
# A neighbour as one number: the distance's bits above the index. Distances are not negative, so
# the numbers sort by distance, then index. This one is 'infinitely far, no point'.
UNKNOWN = np.uint64(0x7F8000007FFFFFFF)
INDEX_BITS = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)


def kernel(function: Callable) -> Callable:
    """Compile at the first call, without the GIL, and keep the machine code on disk.

    No reassociation and no fused multiply-add, so that distances equal those of the naive twins
    bit for bit; 'no NaN' only lets minima and maxima be vectorised (inputs are checked).
    """
    options = dict(nogil=True, fastmath={'nnan', 'nsz'}, error_model='numpy')
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return numba.njit(**options)(function)


@kernel
def fill(array, value):
    """``array[:] = value``; far cheaper to compile."""
    for i in range(len(array)):
        array[i] = value


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
        elif cut > first:
            first = cut
        else:  # the pivot is the smallest: step over all its equals, which may be everything
            for j in range(first, last):
                key, point = keys[j], order[j]
                keys[j], order[j] = keys[cut], order[cut]
                keys[cut], order[cut] = key, point
                cut += np.int64(key <= pivot)
            if nth < cut:
                return
            first = cut


@kernel
def sort_into_buckets(points, n, order):
    """Fill the first ``n`` places of ``order`` with the points' indices, bucket by bucket.

    Args:
        points: (N, D), the first ``n`` rows count.
        order: (>= buckets, leaf) int32, output.
    """
    channels, leaf = points.shape[1], order.shape[1]
    order = order.reshape(-1)
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
def build(points, lengths, order, xyz, boxes, begin, end):
    """Build the search trees of clouds ``begin`` to ``end``.

    Args:
        points: (B, N, D).
        lengths: (B,) points that count.
        order: (B, buckets, leaf) int32, output: index of each point, NO_POINT in free places.
        xyz: (B, buckets, D, leaf), output: coordinates, infinite in free places.
        boxes: (B, nodes, D, 2), output: bounds of every node that is in use.
        begin, end: clouds of this call.
    """
    channels, leaf = points.shape[2], order.shape[2]
    for cloud in range(begin, end):
        n = lengths[cloud]
        buckets = (n + leaf - 1) // leaf
        sort_into_buckets(points[cloud], n, order[cloud])
        flat = order[cloud].reshape(-1)
        for i in range(n, buckets * leaf):
            flat[i] = NO_POINT
        for b in range(buckets):
            for d in range(channels):
                for j in range(leaf):
                    i = order[cloud, b, j]
                    xyz[cloud, b, d, j] = np.inf if i == NO_POINT else points[cloud, i, d]
        bound(boxes[cloud], xyz[cloud], n)


@kernel
def bound(boxes, xyz, n):
    """Set the boxes of all nodes: a bucket's from its points, others from their children's."""
    channels, leaf = xyz.shape[1], xyz.shape[2]
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
def box_distance(boxes, cloud, node, query, norm):
    """Distance of ``query`` (D,) to a node's box: squared (norm 2) or Manhattan (norm 1).

    Whole arrays and indices instead of views: views are counted, which costs more than the sum.
    """
    total = query.dtype.type(0)
    for d in range(len(query)):
        below = boxes[cloud, node, d, 0] - query[d]
        above = query[d] - boxes[cloud, node, d, 1]
        gap = max(max(below, above), query.dtype.type(0))
        total += gap * gap if norm == 2 else gap
    return total


@kernel
def bucket_distances(xyz, cloud, bucket, query, norm, out):
    """Distances (leaf,) of ``query`` (D,) to the points of a bucket."""
    fill(out, 0)
    for d in range(len(query)):
        row, q = xyz[cloud, bucket, d], query[d]
        if norm == 2:
            for j in range(len(row)):
                diff = row[j] - q
                out[j] += diff * diff
        else:
            for j in range(len(row)):
                out[j] += abs(row[j] - q)


@kernel
def furthest(dist_bits, index):
    """(largest distance, lowest index that has it); distances as integers of the same bits.

    For numbers >= 0 and for -1 the order is the same, and integer maxima become vector
    instructions, which float ones do not.
    """
    best = dist_bits[0]
    for j in range(len(dist_bits)):
        best = max(best, dist_bits[j])
    chosen = NO_POINT
    for j in range(len(dist_bits)):
        chosen = min(chosen, index[j] if dist_bits[j] == best else NO_POINT)
    return best, chosen


@kernel
def sample_cloud(points, n, start, skip_below, bits, out):
    """Sample one cloud.

    Points live in the buckets of a k-d tree, each with its bounding box and its furthest point. A
    new sample touches only buckets whose box is nearer to it than their furthest point is to the
    earlier samples; all others cannot change (the pruning of QuickFPS, Han et al. 2023,
    IEEE TCAD, with exact ties).

    Args:
        points: (N, D), the first ``n`` rows count.
        start: index of the first sample.
        skip_below: points with |p|^2 at or below this are never chosen; negative: none.
        bits: an array of the integers as wide as the coordinates.
        out: (num,) int64, output; num may exceed n, the rest is left as it is.
    """
    channels = points.shape[1]
    dtype = points.dtype
    count = min(len(out), n)
    # Sorting pays when many samples are to come; else one bucket holds all points.
    leaf = LEAF if count > FEW else (n + LEAF - 1) // LEAF * LEAF
    buckets = (n + leaf - 1) // leaf
    order = np.empty((buckets, leaf), np.int32)
    sort_into_buckets(points, n, order)
    for j in range(n - (buckets - 1) * leaf, leaf):
        order[buckets - 1, j] = order[buckets - 1, 0]
    xyz = np.empty((buckets, channels, leaf), dtype)
    low, high = np.empty((channels, buckets), dtype), np.empty((channels, buckets), dtype)
    for b in range(buckets):
        for d in range(channels):
            low[d, b] = high[d, b] = points[order[b, 0], d]
            for j in range(leaf):
                value = points[order[b, j], d]
                xyz[b, d, j] = value
                low[d, b], high[d, b] = min(low[d, b], value), max(high[d, b], value)
    dist = np.empty((buckets, leaf), dtype)  # to the nearest sample; -1: never chosen
    for b in range(buckets):
        for j in range(leaf):
            dist[b, j] = np.inf if b * leaf + j < n else -1
    if skip_below >= 0:
        for b in range(buckets):
            for j in range(leaf):
                norm = dtype.type(0)
                for d in range(channels):
                    norm += xyz[b, d, j] * xyz[b, d, j]
                if np.float64(norm) <= skip_below:
                    dist[b, j] = -1
    far_dist, far_index = np.empty(buckets, dtype), np.empty(buckets, np.int32)
    dist_bits, far_bits = dist.view(bits.dtype), far_dist.view(bits.dtype)
    for b in range(buckets):
        far_bits[b], far_index[b] = furthest(dist_bits[b], order[b])
    gap = np.empty(buckets, dtype)
    fresh = np.empty(leaf, dtype)
    chosen = start
    for i in range(count):
        out[i] = chosen
        if i == count - 1:
            break
        fill(gap, 0)
        for d in range(channels):
            c, lo, hi = points[chosen, d], low[d], high[d]
            for b in range(buckets):
                outside = max(max(lo[b] - c, c - hi[b]), dtype.type(0))
                gap[b] += outside * outside
        for b in range(buckets):
            if gap[b] < far_dist[b]:
                fill(fresh, 0)
                for d in range(channels):
                    c, row = points[chosen, d], xyz[b, d]
                    for j in range(leaf):
                        diff = row[j] - c
                        fresh[j] += diff * diff
                known = dist[b]
                for j in range(leaf):
                    known[j] = min(known[j], fresh[j])
                far_bits[b], far_index[b] = furthest(dist_bits[b], order[b])
        chosen = np.int64(furthest(far_bits, far_index)[1])


@kernel
def sample(points, lengths, starts, skip_below, bits, out, begin, end):
    """Sample clouds ``begin`` to ``end`` of ``points`` (B, N, D) into ``out`` (B, num)."""
    for cloud in range(begin, end):
        sample_cloud(points[cloud], lengths[cloud], starts[cloud], skip_below, bits, out[cloud])


@kernel
def knn(order, xyz, boxes, lengths, query, query_lengths, norm, dist, idx, begin, end):
    """k nearest points of the queries ``begin`` to ``end`` of all B x M.

    Args:
        order, xyz, boxes: trees from :func:`build`.
        query: (B, M, D) float32.
        dist: (B, M, k) float32, output; padding becomes 0.
        idx: (B, M, k) int64, output; padding becomes 0.
    """
    m, leaf = query.shape[1], xyz.shape[3]
    stack, stack_dist = np.empty((64, 3), np.int64), np.empty(64, np.float32)
    fresh, worst = np.empty(leaf, np.float32), np.empty(1, np.float32)
    fresh_bits, worst_bits, dist_bits = (
        fresh.view(np.uint32), worst.view(np.uint32), dist.view(np.uint32)
    )  # fmt: skip
    # Neighbours from the k-th to the first, then a 0.
    best, center = np.empty(dist.shape[2] + 1, np.uint64), np.empty(query.shape[2], np.float32)
    for q in range(begin, end):
        b, i = q // m, q % m
        k = min(dist.shape[2], lengths[b]) if i < query_lengths[b] else 0
        for j in range(k, dist.shape[2]):
            dist[b, i, j], idx[b, i, j] = 0, 0
        if k == 0:
            continue
        for d in range(len(center)):
            center[d] = query[b, i, d]
        for j in range(k):
            best[j] = UNKNOWN
        best[k] = 0
        worst[0] = np.inf
        stack[0, 0], stack[0, 1], stack[0, 2] = 0, 0, (lengths[b] + leaf - 1) // leaf
        stack_dist[0] = 0
        top = 1
        while top > 0:
            top -= 1
            # A box as far as the k-th neighbour may still hold an equally near, lower index.
            near, limit = stack_dist[top], worst[0]
            node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
            while near <= limit and last - first > 1:
                mid = (first + last) // 2
                left = box_distance(boxes, b, 2 * node + 1, center, norm)
                right = box_distance(boxes, b, 2 * node + 2, center, norm)
                if left <= right:
                    if right <= limit:
                        stack[top, 0], stack[top, 1], stack[top, 2] = 2 * node + 2, mid, last
                        stack_dist[top] = right
                        top += 1
                    node, last, near = 2 * node + 1, mid, left
                else:
                    if left <= limit:
                        stack[top, 0], stack[top, 1], stack[top, 2] = 2 * node + 1, first, mid
                        stack_dist[top] = left
                        top += 1
                    node, first, near = 2 * node + 2, mid, right
            if near > limit:
                continue
            bucket_distances(xyz, b, first, center, norm, fresh)
            if k == 1:  # the Chamfer distance: a plain minimum, without branches
                low = best[0]
                for j in range(leaf):
                    new = (np.uint64(fresh_bits[j]) << SHIFT) | np.uint64(order[b, first, j])
                    low = min(low, new)
                best[0] = low
            else:
                for j in range(leaf):
                    new = (np.uint64(fresh_bits[j]) << SHIFT) | np.uint64(order[b, first, j])
                    if new < best[0]:
                        # Drop the worst and insert in one pass of minima and maxima: vector
                        # instructions, where searching the place would be a mispredicted branch.
                        for p in range(k):
                            best[p] = max(best[p + 1], min(best[p], new))
            worst_bits[0] = np.uint32(best[0] >> SHIFT)
        for j in range(k):
            dist_bits[b, i, j] = np.uint32(best[k - 1 - j] >> SHIFT)
            idx[b, i, j] = np.int64(best[k - 1 - j] & INDEX_BITS)


@kernel
def lowest_bit(word):
    """Position of the lowest set bit of a non-zero uint64: bits set below it, counted."""
    x = (word & (~word + np.uint64(1))) - np.uint64(1)
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def ball(
    order, xyz, boxes, lengths, query, query_lengths, norm, limit, first_pads, idx, begin, end
):
    """Points with distance < ``limit``, in index order, of queries ``begin`` to ``end``.

    Points inside set bits of a mask over the cloud; reading the mask gives them in order.

    Args:
        query: (B, M, D).
        norm, limit: kind of distance (2: squared), and what it must be below.
        first_pads: free places repeat the first point found (0: none) instead of holding -1.
        idx: (B, M, K) int64, output.
    """
    m, num, leaf = query.shape[1], idx.shape[2], xyz.shape[3]
    stack = np.empty((64, 3), np.int64)
    fresh, center = np.empty(leaf, query.dtype), np.empty(query.shape[2], query.dtype)
    mask = np.zeros(order.shape[1] * leaf // 64 + 1, np.uint64)
    for q in range(begin, end):
        b, i = q // m, q % m
        row = idx[b, i]
        fill(row, 0 if first_pads else -1)
        if i >= query_lengths[b]:
            continue
        for d in range(len(center)):
            center[d] = query[b, i, d]
        stack[0, 0], stack[0, 1], stack[0, 2] = 0, 0, (lengths[b] + leaf - 1) // leaf
        top = 1
        while top > 0:
            top -= 1
            node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
            if box_distance(boxes, b, node, center, norm) >= limit:
                continue
            if last - first > 1:
                mid = (first + last) // 2
                stack[top, 0], stack[top, 1], stack[top, 2] = 2 * node + 1, first, mid
                stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2] = 2 * node + 2, mid, last
                top += 2
                continue
            bucket_distances(xyz, b, first, center, norm, fresh)
            for j in range(leaf):
                if fresh[j] < limit:
                    point = np.uint64(order[b, first, j])
                    mask[point >> np.uint64(6)] |= np.uint64(1) << (point & np.uint64(63))
        found = 0
        for w in range((lengths[b] + 63) // 64):
            word = mask[w]
            mask[w] = 0
            while word != 0 and found < num:
                row[found] = w * 64 + lowest_bit(word)
                word &= word - np.uint64(1)
                found += 1
        if first_pads and found > 0:
            for j in range(found, num):
                row[j] = row[0]
