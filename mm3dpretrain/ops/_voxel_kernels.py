"""Numba kernels for points in voxels: find the voxels, reduce over them, and the way back."""

from __future__ import annotations

import numpy as np

from ._kernels import kernel

DIGIT = 11  # bits of a radix pass: its counters stay in the fastest cache
SUM, MEAN, MAX = 0, 1, 2


@kernel
def limits(coors, out):
    """Largest coordinate per column over the rows without a negative one; -1 if there is none.

    Args:
        coors: (N, D) integers.
        out: (D,) int64, output.

    Returns:
        Number of rows without a negative coordinate.
    """
    valid = 0
    for d in range(len(out)):
        out[d] = -1
    for i in range(len(coors)):
        low = coors[i, 0]
        for d in range(1, coors.shape[1]):
            low = min(low, coors[i, d])
        if low >= 0:
            valid += 1
            for d in range(coors.shape[1]):
                out[d] = max(out[d], np.int64(coors[i, d]))
    return valid


@kernel
def sort_points(coors, high, valid, order, keys):
    """Order of the valid points by coordinates, first column first; stable.

    Args:
        coors: (N, D) integers.
        high, valid: from :func:`limits`; the product of all ``high + 1`` must fit into 62 bits.
        order: (valid,) int32, output.
        keys: (valid,) uint64, output: one number per point, ascending.
    """
    at, largest = 0, np.uint64(0)
    for i in range(len(coors)):
        key, usable = np.uint64(0), True
        for d in range(coors.shape[1]):
            usable = usable and coors[i, d] >= 0
            key = key * np.uint64(high[d] + 1) + np.uint64(coors[i, d])
        if usable:
            keys[at], order[at] = key, i
            largest = max(largest, key)
            at += 1
    other_keys, other_order = np.empty_like(keys), np.empty_like(order)
    counts = np.empty(1 << DIGIT, np.int64)
    mask, shift = np.uint64((1 << DIGIT) - 1), np.uint64(0)
    while (largest >> shift) > 0:
        for c in range(len(counts)):
            counts[c] = 0
        for j in range(valid):
            counts[(keys[j] >> shift) & mask] += 1
        total = 0
        for c in range(len(counts)):
            size = counts[c]
            counts[c] = total
            total += size
        for j in range(valid):
            digit = (keys[j] >> shift) & mask
            place = counts[digit]
            counts[digit] = place + 1
            other_keys[place], other_order[place] = keys[j], order[j]
        for j in range(valid):
            keys[j], order[j] = other_keys[j], other_order[j]
        shift += np.uint64(DIGIT)


@kernel
def number_voxels(order, keys, voxel_of, starts):
    """Number equal keys from 0.

    Args:
        order, keys: from :func:`sort_points`.
        voxel_of: (N,) int32, output at the valid points.
        starts: (valid + 1,) int64, output: place in ``order`` where each voxel begins.

    Returns:
        Number of voxels.
    """
    voxels = 0
    for j in range(len(order)):
        if j == 0 or keys[j] != keys[j - 1]:
            starts[voxels] = j
            voxels += 1
        voxel_of[order[j]] = voxels - 1
    starts[voxels] = len(order)
    return voxels


@kernel
def reduce(features, order, starts, kind, out, begin, end):
    """Sum, mean or maximum of the points in voxels ``begin`` to ``end``, in index order.

    Args:
        features: (N, C).
        order, starts: from :func:`sort_points` and :func:`number_voxels`.
        out: (V, C), output.
    """
    for v in range(begin, end):
        row = out[v]
        source = features[order[starts[v]]]
        for c in range(len(row)):
            row[c] = source[c]
        for j in range(starts[v] + 1, starts[v + 1]):
            source = features[order[j]]
            if kind == MAX:
                for c in range(len(row)):
                    row[c] = max(row[c], source[c])
            else:
                for c in range(len(row)):
                    row[c] += source[c]
        if kind == MEAN:
            count = row.dtype.type(starts[v + 1] - starts[v])
            for c in range(len(row)):
                row[c] /= count


@kernel
def spread_back(grad, voxel_of, counts, kind, out, begin, end):
    """Backward of sum and mean, for points ``begin`` to ``end``; others keep what they hold."""
    for i in range(begin, end):
        v = voxel_of[i]
        if v >= 0:
            for c in range(grad.shape[1]):
                out[i, c] = grad[v, c] / counts[v] if kind == MEAN else grad[v, c]


@kernel
def first_equal(row, maxima, first, i, none):
    """Lower ``first`` to point i where its row holds the maximum; a loop of vector instructions."""
    for c in range(len(row)):
        first[c] = min(first[c], i if row[c] == maxima[c] else none)


@kernel
def give_first(grad, first, i, out):
    """The gradient where point i is the first, else 0; a loop of vector instructions."""
    for c in range(len(out)):
        out[c] = grad[c] if first[c] == i else 0


@kernel
def maximum_back(grad, features, reduced, voxel_of, first, out, begin, end):
    """Backward of the maximum for channels ``begin`` to ``end``: the first that equals it gets all.

    Args:
        first: (V, C) int32, scratch, holding N: becomes the point that gets the gradient.
        out: (N, C), output where a point has a voxel.
    """
    size = np.int32(len(voxel_of))
    for i in range(size):
        v = voxel_of[i]
        if v >= 0:
            row, maxima = features[i, begin:end], reduced[v, begin:end]
            first_equal(row, maxima, first[v, begin:end], np.int32(i), size)
    for i in range(size):
        v = voxel_of[i]
        if v >= 0:
            give_first(grad[v, begin:end], first[v, begin:end], np.int32(i), out[i, begin:end])
