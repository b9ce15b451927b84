"""CPU kernels that search a k-d tree: k nearest neighbours and ball query."""

from __future__ import annotations

import numpy as np

from ._jit import kernel
from ._tree import box_distance, bucket_distances

# A neighbour as one number: the distance's bits above the index. Distances are not negative, so
# the numbers sort by distance, then index. This one is 'infinitely far, no point'.
UNKNOWN = np.uint64(0x7F8000007FFFFFFF)
INDEX_BITS = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)


@kernel
def nearest(order, xyz, boxes, n, query, norm, best, stack, stack_dist, fresh, worst):
    """k nearest points of one query.

    Args:
        order, xyz, boxes: tree of one cloud of ``n`` points.
        query: (D,) float32.
        best: (k + 1,) uint64, output: neighbours from the k-th to the first, then a 0. Filled
            with UNKNOWN before.
        stack: (64, 3) int64 scratch; stack_dist: (64,) scratch; fresh: (leaf,) scratch.
        worst: (1,) float32 scratch.
    """
    k, leaf = len(best) - 1, xyz.shape[2]
    fresh_bits, worst_bits = fresh.view(np.uint32), worst.view(np.uint32)
    worst[0] = np.inf
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, 0, (n + leaf - 1) // leaf
    stack_dist[0] = 0
    top = 1
    while top > 0:
        top -= 1
        # A box as far as the k-th neighbour may still hold an equally near, lower index.
        near, limit = stack_dist[top], worst[0]
        node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
        while near <= limit and last - first > 1:
            mid = (first + last) // 2
            left = box_distance(boxes[2 * node + 1], query, norm)
            right = box_distance(boxes[2 * node + 2], query, norm)
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
        bucket_distances(xyz[first], query, norm, fresh)
        for j in range(leaf):
            new = (np.uint64(fresh_bits[j]) << SHIFT) | np.uint64(order[first, j])
            if new < best[0]:
                # Drop the worst and insert in one pass of minima and maxima: vector
                # instructions, where a search for the place would be a mispredicted branch.
                for p in range(k):
                    best[p] = max(best[p + 1], min(best[p], new))
        worst_bits[0] = np.uint32(best[0] >> SHIFT)


@kernel
def knn(order, xyz, boxes, lengths, query, query_lengths, norm, dist, idx, begin, end):
    """Neighbours of the queries ``begin`` to ``end`` of all B x M.

    Args:
        order, xyz, boxes: trees from :func:`build`.
        query: (B, M, D) float32.
        dist: (B, M, k) float32, output; padding becomes 0.
        idx: (B, M, k) int64, output; padding becomes 0.
    """
    m, k = query.shape[1], dist.shape[2]
    stack, stack_dist = np.empty((64, 3), np.int64), np.empty(64, np.float32)
    fresh, worst = np.empty(xyz.shape[3], np.float32), np.empty(1, np.float32)
    best = np.empty(k + 1, np.uint64)
    dist_bits = dist.view(np.uint32)
    for q in range(begin, end):
        b, i = q // m, q % m
        keep = min(k, lengths[b]) if i < query_lengths[b] else 0
        dist[b, i, keep:] = 0
        idx[b, i, keep:] = 0
        if keep == 0:
            continue
        best[:keep] = UNKNOWN
        best[keep] = 0
        nearest(
            order[b], xyz[b], boxes[b], lengths[b], query[b, i], norm,
            best[: keep + 1], stack, stack_dist, fresh, worst,
        )  # fmt: skip
        for j in range(keep):
            neighbour = best[keep - 1 - j]
            dist_bits[b, i, j] = np.uint32(neighbour >> SHIFT)
            idx[b, i, j] = np.int64(neighbour & INDEX_BITS)


@kernel
def lowest_bit(word):
    """Position of the lowest set bit of a non-zero uint64: bits set below it, counted."""
    x = (word & (~word + np.uint64(1))) - np.uint64(1)
    x -= (x >> np.uint64(1)) & np.uint64(0x5555555555555555)
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel
def ball(order, xyz, boxes, lengths, query, query_lengths, limit, first_pads, idx, begin, end):
    """Points with distance^2 < ``limit``, in index order, of queries ``begin`` to ``end``.

    Points inside set bits of a mask over the cloud; reading the mask gives them in order.

    Args:
        query: (B, M, D).
        first_pads: free places repeat the first point found (0: none) instead of holding -1.
        idx: (B, M, K) int64, output.
    """
    m, num, leaf = query.shape[1], idx.shape[2], xyz.shape[3]
    stack = np.empty((64, 3), np.int64)
    fresh = np.empty(leaf, query.dtype)
    mask = np.zeros(order.shape[1] * leaf // 64 + 1, np.uint64)
    for q in range(begin, end):
        b, i = q // m, q % m
        row = idx[b, i]
        row[:] = 0 if first_pads else -1
        if i >= query_lengths[b]:
            continue
        center = query[b, i]
        stack[0, 0], stack[0, 1], stack[0, 2] = 0, 0, (lengths[b] + leaf - 1) // leaf
        top = 1
        while top > 0:
            top -= 1
            node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
            if box_distance(boxes[b, node], center, 2) >= limit:
                continue
            if last - first > 1:
                mid = (first + last) // 2
                stack[top, 0], stack[top, 1], stack[top, 2] = 2 * node + 1, first, mid
                stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2] = 2 * node + 2, mid, last
                top += 2
                continue
            bucket_distances(xyz[b, first], center, 2, fresh)
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
            row[found:] = row[0]
