"""Numba kernels for points in the layouts of mmcv: features channels first, int32 indices, stacks.

What :mod:`mm3dpretrain.ops._kernels` has (trees, furthest points, neighbours) is not repeated here.
A kernel never calls one of another file, whose changes Numba's cache on disk would not notice.
"""

from __future__ import annotations

import numpy as np

from ._kernels import kernel

BLOCK = 128  # points whose distances are taken before looking at any of them


@kernel
def lower(nearest, row):
    """``nearest = minimum(nearest, row)`` in place."""
    for k in range(len(nearest)):
        nearest[k] = min(nearest[k], row[k])


@kernel
def first_maximum(bits):
    """Lowest index of the largest value; values are integers with the bits of numbers >= 0.

    Integer maxima and minima become vector instructions, float ones do not.
    """
    best = bits[0]
    for k in range(len(bits)):
        best = max(best, bits[k])
    chosen = len(bits)
    for k in range(len(bits)):
        chosen = min(chosen, k if bits[k] == best else len(bits))
    return chosen


@kernel
def sample_by_distance(dist, nearest, nearest_bits, out, begin, end):
    """Furthest points from given distances, of clouds ``begin`` to ``end``.

    Args:
        dist: (B, N, N), none negative.
        nearest: (B, N), distance to the chosen points so far; updated.
        nearest_bits: the same memory as integers.
        out: (B, num) int32, output; starts with index 0.
    """
    for b in range(begin, end):
        chosen = 0
        for i in range(out.shape[1]):
            out[b, i] = chosen
            if i + 1 < out.shape[1]:
                lower(nearest[b], dist[b, chosen])
                chosen = first_maximum(nearest_bits[b])


@kernel
def mark_inside(xyz, first, count, x, y, z, low, high, inside):
    """Set ``inside[:count]`` and return how many are set.

    Inside is: distance 0, or a squared distance in [low, high).
    """
    total = 0
    for j in range(count):
        dx, dy, dz = x - xyz[0, first + j], y - xyz[1, first + j], z - xyz[2, first + j]
        d = dx * dx + dy * dy + dz * dz
        hit = np.uint8((d == 0) | ((d >= low) & (d < high)))
        inside[j] = hit
        total += hit
    return total


@kernel
def ball_in_stack(xyz, starts, counts, query, owner, low, high, none, idx, begin, end):
    """First points inside a shell around the queries ``begin`` to ``end``, in index order.

    Every point is looked at until the ball is full: with hits early on, and without a tree that
    would know no inner radius, this is as fast.

    Args:
        xyz: (3, total) the clouds one after another.
        starts, counts: (B,) int64, place of each cloud.
        query: (Q, 3).
        owner: (Q,) int64, cloud of each query.
        low, high: bounds of the squared distance; a distance of 0 is always inside.
        none: what the first place holds where nothing is inside; the others hold 0.
        idx: (Q, K) int32, output: indices within the cloud, free places repeat the first.
    """
    inside = np.empty(BLOCK, np.uint8)
    for q in range(begin, end):
        start, size, row = starts[owner[q]], counts[owner[q]], idx[q]
        found, done = 0, 0
        while done < size and found < len(row):
            step = min(BLOCK, size - done)
            hits = mark_inside(
                xyz, start + done, step, query[q, 0], query[q, 1], query[q, 2], low, high, inside
            )
            if hits > 0:
                for j in range(step):
                    if inside[j] != 0 and found < len(row):
                        row[found] = done + j
                        found += 1
            done += step
        for j in range(found, len(row)):
            row[j] = row[0] if found > 0 else 0
        if found == 0:
            row[0] = none


@kernel
def take(features, idx, channels, out, begin, end):
    """``out[r, j] = features[r, idx[r // channels, j]]`` for rows ``begin`` to ``end``."""
    for r in range(begin, end):
        source, chosen, row = features[r], idx[r // channels], out[r]
        for j in range(len(row)):
            row[j] = source[chosen[j]]


@kernel
def put(grad, idx, channels, out, begin, end):
    """Backward of :func:`take`: ``out[r, idx[r // channels, j]] += grad[r, j]``."""
    for r in range(begin, end):
        source, chosen, row = grad[r], idx[r // channels], out[r]
        for j in range(len(source)):
            row[chosen[j]] += source[j]


@kernel
def take_stacked(features, rows, out, begin, end):
    """``out[m, c, k] = features[rows[m, k], c]`` for groups ``begin`` to ``end``."""
    for m in range(begin, end):
        for k in range(rows.shape[1]):
            source = features[rows[m, k]]
            for c in range(len(source)):
                out[m, c, k] = source[c]


@kernel
def put_stacked(grad, rows, out, begin, end):
    """Backward of :func:`take_stacked` for channels ``begin`` to ``end``."""
    for m in range(len(rows)):
        for c in range(begin, end):
            for k in range(rows.shape[1]):
                out[rows[m, k], c] += grad[m, c, k]


@kernel
def interpolate(features, idx, weight, channels, out, begin, end):
    """Sums of three weighted features, for rows ``begin`` to ``end`` of (B * channels, N).

    Args:
        idx, weight: (B, M, 3).
        out: (B * channels, M), output.
    """
    for r in range(begin, end):
        source, chosen, w, row = features[r], idx[r // channels], weight[r // channels], out[r]
        for j in range(len(row)):
            row[j] = (
                w[j, 0] * source[chosen[j, 0]]
                + w[j, 1] * source[chosen[j, 1]]
                + w[j, 2] * source[chosen[j, 2]]
            )


@kernel
def interpolate_back(grad, idx, weight, channels, out, begin, end):
    """Backward of :func:`interpolate` for the features."""
    for r in range(begin, end):
        source, chosen, w, row = grad[r], idx[r // channels], weight[r // channels], out[r]
        for j in range(len(source)):
            for k in range(3):
                row[chosen[j, k]] += source[j] * w[j, k]
