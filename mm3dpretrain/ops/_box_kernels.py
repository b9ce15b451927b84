"""Numba kernels for rotated boxes seen from above: overlap, suppression, points inside.

A rectangle is (x, y, dx, dy) with the cosine and sine of its heading, which turns from x to y.
Areas are computed in float64 by cutting one rectangle at the sides of the other.
"""

from __future__ import annotations

import numpy as np

from ._kernels import kernel

SMALLEST_AREA = 1e-8  # a union is taken as at least this, as mmcv does


@kernel
def cut(xs, ys, count, sign, axis, limit, out_xs, out_ys):
    """Cut a convex polygon at the line ``sign * (x or y) = limit``; returns the corners left."""
    kept = 0
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        here = (xs[i] if axis == 0 else ys[i]) * sign - limit
        there = (xs[j] if axis == 0 else ys[j]) * sign - limit
        if here <= 0:
            out_xs[kept], out_ys[kept] = xs[i], ys[i]
            kept += 1
        if (here < 0 < there) or (there < 0 < here):
            t = here / (here - there)
            out_xs[kept] = xs[i] + t * (xs[j] - xs[i])
            out_ys[kept] = ys[i] + t * (ys[j] - ys[i])
            kept += 1
    return kept


@kernel
def overlap(a, b, work):
    """Area that two rectangles share.

    Args:
        a, b: (6,) float64: x, y, dx, dy, cosine, sine.
        work: (4, 12) float64, scratch.
    """
    dx, dy = b[0] - a[0], b[1] - a[1]
    # Two circles around the rectangles that do not touch: the usual case.
    reach = np.sqrt(a[2] * a[2] + a[3] * a[3]) + np.sqrt(b[2] * b[2] + b[3] * b[3])
    if 4 * (dx * dx + dy * dy) >= reach * reach:
        return 0.0
    # b in the frame of a, where a's sides are parallel to the axes.
    x, y = dx * a[4] + dy * a[5], dy * a[4] - dx * a[5]
    c, s = b[4] * a[4] + b[5] * a[5], b[5] * a[4] - b[4] * a[5]
    xs, ys, other_xs, other_ys = work[0], work[1], work[2], work[3]
    for i in range(4):
        u = b[2] / 2 if (i == 1 or i == 2) else -b[2] / 2
        v = b[3] / 2 if i >= 2 else -b[3] / 2
        xs[i], ys[i] = x + u * c - v * s, y + u * s + v * c
    count = cut(xs, ys, 4, 1.0, 0, a[2] / 2, other_xs, other_ys)
    count = cut(other_xs, other_ys, count, -1.0, 0, a[2] / 2, xs, ys)
    count = cut(xs, ys, count, 1.0, 1, a[3] / 2, other_xs, other_ys)
    count = cut(other_xs, other_ys, count, -1.0, 1, a[3] / 2, xs, ys)
    area = 0.0
    for i in range(1, count - 1):
        area += (xs[i] - xs[0]) * (ys[i + 1] - ys[0]) - (xs[i + 1] - xs[0]) * (ys[i] - ys[0])
    return abs(area) / 2


@kernel
def overlaps(boxes, others, out, begin, end):
    """Shared areas (N, M) of ``boxes`` (N, 6) and ``others`` (M, 6); rows ``begin`` to ``end``."""
    work = np.empty((4, 12))
    for i in range(begin, end):
        for j in range(len(others)):
            out[i, j] = overlap(boxes[i], others[j], work)


@kernel
def upright_overlap(a, b):
    """Area that two rectangles share if their headings are ignored."""
    width = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    depth = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    return max(width, 0.0) * max(depth, 0.0)


@kernel
def suppress(boxes, threshold, rotated, keep):
    """Keep each box that no kept earlier one overlaps by more than ``threshold``.

    Args:
        boxes: (N, 6) float64, best first.
        threshold: on area shared / area covered.
        rotated: False ignores the headings.
        keep: (N,) int64, output.

    Returns:
        How many were kept.
    """
    work, gone = np.empty((4, 12)), np.zeros(len(boxes), np.uint8)
    kept = 0
    for i in range(len(boxes)):
        if gone[i] != 0:
            continue
        keep[kept] = i
        kept += 1
        area = boxes[i, 2] * boxes[i, 3]
        for j in range(i + 1, len(boxes)):
            if gone[j] != 0:
                continue
            if rotated:
                shared = overlap(boxes[i], boxes[j], work)
            else:
                shared = upright_overlap(boxes[i], boxes[j])
            union = max(area + boxes[j, 2] * boxes[j, 3] - shared, SMALLEST_AREA)
            if shared / union > threshold:
                gone[j] = 1
    return kept


@kernel
def mark_boxes(x, y, z, table, flags):
    """Set ``flags`` (T,) to 1 for boxes around a point: strictly at the sides, else inclusive.

    Args:
        table: (8, T) centre x, y, z, half sizes x, y, z, cosine and sine of the heading.
    """
    for t in range(len(flags)):
        dx, dy = x - table[0, t], y - table[1, t]
        u = dx * table[6, t] + dy * table[7, t]
        v = dy * table[6, t] - dx * table[7, t]
        flags[t] = (
            (abs(z - table[2, t]) <= table[5, t]) & (abs(u) < table[3, t]) & (abs(v) < table[4, t])
        )


@kernel
def every_box(points, tables, out, begin, end):
    """1 for each pair of a point and a box around it, else 0; points ``begin`` to ``end`` of B x M.

    Args:
        points: (B, M, 3).
        tables: (B, 8, T), as for :func:`mark_boxes`.
        out: (B, M, T) int32, output.
    """
    size = points.shape[1]
    for p in range(begin, end):
        b, i = p // size, p % size
        mark_boxes(points[b, i, 0], points[b, i, 1], points[b, i, 2], tables[b], out[b, i])


@kernel
def first_box(points, tables, out, begin, end):
    """Lowest index of a box around each point, -1 for none; ``out`` (B, M) int32, else as above."""
    size = points.shape[1]
    flags = np.empty(tables.shape[2], np.int32)
    for p in range(begin, end):
        b, i = p // size, p % size
        mark_boxes(points[b, i, 0], points[b, i, 1], points[b, i, 2], tables[b], flags)
        out[b, i] = -1
        for t in range(len(flags)):
            if flags[t] != 0:
                out[b, i] = t
                break
