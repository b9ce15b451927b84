"""Splatting on the CPU with compiled loops. Same results as ``splat_torch``, many times faster.

Two passes over the footprints, one for the z-buffer and one for the blend, and one more for the
gradients. No list of fragments is kept, so the memory is that of the maps. Pictures are divided
among threads; each picture is computed by one thread in the order of the points, which makes the
result independent of the number of threads and of the rest of the batch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .splat_torch import FRONT_WEIGHT

_KERNEL_IDS = {'disc': 0, 'quadratic': 1, 'cosine': 2}
_jit = numba.njit(nogil=True, cache=True, error_model='numpy')
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


@numba.njit(nogil=True, cache=True, inline='always')
def _bounds(centre, inv_radius, size):
    """First and one past the last pixel whose centre can lie in the footprint."""
    half = 0.5
    low = max(centre - 1.0 / inv_radius - half, 0.0)
    high = min(centre + 1.0 / inv_radius - half, size - 1.0)
    if not low <= high:
        return 0, 0
    return int(math.ceil(low)), int(math.floor(high)) + 1


@numba.njit(nogil=True, cache=True, inline='always')
def _weight(kernel, q):
    if kernel == 0:
        return 1.0
    if kernel == 1:
        return 1.0 - q
    return 0.5 + 0.5 * math.cos(math.pi * math.sqrt(q))


@numba.njit(nogil=True, cache=True, inline='always')
def _weight_slope(kernel, q):
    """Derivative of the weight with respect to q."""
    if kernel == 0:
        return 0.0
    if kernel == 1:
        return -1.0
    if q < 1e-12:
        return -0.25 * math.pi * math.pi
    root = math.sqrt(q)
    return -0.25 * math.pi * math.sin(math.pi * root) / root


@_jit
def _forward(
    start, stop, views, kernel, tolerance, front_weight,
    uv, z, inv_radius, valid, features,
    depth, mask, index, total, rendered,
):  # fmt: skip
    height, width = depth.shape[1:]
    num_points, channels = z.shape[1], features.shape[2]
    scalar = uv.dtype.type
    for s in range(start, stop):
        feature = features[s // views]
        nearest = np.full((height, width), np.inf, uv.dtype)
        for k in range(num_points):
            if not valid[s, k]:
                continue
            u, v, zk = uv[s, k, 0], uv[s, k, 1], z[s, k]
            su, sv = inv_radius[s, k, 0], inv_radius[s, k, 1]
            j0, j1 = _bounds(u, su, width)
            i0, i1 = _bounds(v, sv, height)
            for i in range(i0, i1):
                dv = (scalar(i + 0.5) - v) * sv
                for j in range(j0, j1):
                    nearer = zk < nearest[i, j]
                    if not nearer and mask[s, i, j] >= 1:
                        continue
                    du = (scalar(j + 0.5) - u) * su
                    q = du * du + dv * dv
                    if not q < 1:
                        continue
                    if mask[s, i, j] < 1:
                        mask[s, i, j] += _weight(kernel, q)
                    if nearer:
                        nearest[i, j] = zk
                        index[s, i, j] = k
        for k in range(num_points):
            if not valid[s, k]:
                continue
            u, v, zk = uv[s, k, 0], uv[s, k, 1], z[s, k]
            su, sv = inv_radius[s, k, 0], inv_radius[s, k, 1]
            j0, j1 = _bounds(u, su, width)
            i0, i1 = _bounds(v, sv, height)
            for i in range(i0, i1):
                dv = (scalar(i + 0.5) - v) * sv
                for j in range(j0, j1):
                    front = index[s, i, j] == k
                    behind = zk - nearest[i, j]
                    if not front and behind >= tolerance:
                        continue
                    du = (scalar(j + 0.5) - u) * su
                    q = du * du + dv * dv
                    if not q < 1:
                        continue
                    a = _weight(kernel, q)
                    if tolerance > 0:
                        a *= 1 - behind / tolerance
                    if front:
                        a += front_weight
                    total[s, i, j] += a
                    depth[s, i, j] += a * zk
                    for c in range(channels):
                        rendered[s, i, j, c] += a * feature[k, c]
        for i in range(height):
            for j in range(width):
                mask[s, i, j] = min(mask[s, i, j], 1.0)
                if index[s, i, j] >= 0:
                    depth[s, i, j] /= total[s, i, j]
                    for c in range(channels):
                        rendered[s, i, j, c] /= total[s, i, j]


@_jit
def _backward(
    start, stop, views, kernel, tolerance, front_weight,
    uv, z, inv_radius, valid, features,
    depth, mask, index, total, rendered,
    grad_depth, grad_mask, grad_rendered,
    grad_uv, grad_z, grad_inv_radius, grad_features,
):  # fmt: skip
    height, width = depth.shape[1:]
    num_points, channels = z.shape[1], features.shape[2]
    want_features = grad_features.shape[2] > 0
    scalar = uv.dtype.type
    for s in range(start, stop):
        feature = features[s // views]
        for k in range(num_points):
            if not valid[s, k]:
                continue
            u, v, zk = uv[s, k, 0], uv[s, k, 1], z[s, k]
            su, sv = inv_radius[s, k, 0], inv_radius[s, k, 1]
            j0, j1 = _bounds(u, su, width)
            i0, i1 = _bounds(v, sv, height)
            gu, gv, gz, gsu, gsv = 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(i0, i1):
                dv = (scalar(i + 0.5) - v) * sv
                for j in range(j0, j1):
                    f = index[s, i, j]
                    if f < 0:
                        continue
                    behind = zk - z[s, f]
                    blended = f == k or behind < tolerance
                    covering = mask[s, i, j] < 1
                    if not blended and not covering:
                        continue
                    du = (scalar(j + 0.5) - u) * su
                    q = du * du + dv * dv
                    if not q < 1:
                        continue
                    gw = 0.0
                    if covering:
                        gw = float(grad_mask[s, i, j])
                    if blended:
                        w = _weight(kernel, q)
                        fade = 1.0
                        if tolerance > 0:
                            fade -= behind / tolerance
                        share = w * fade
                        if f == k:
                            share += front_weight
                        share /= total[s, i, j]
                        ga = grad_depth[s, i, j] * (zk - depth[s, i, j])
                        for c in range(channels):
                            grad = grad_rendered[s, i, j, c]
                            ga += grad * (feature[k, c] - rendered[s, i, j, c])
                            if want_features:
                                grad_features[s, k, c] += grad * share
                        ga /= total[s, i, j]
                        gw += ga * fade
                        gz += grad_depth[s, i, j] * share
                        if tolerance > 0 and f != k:
                            grad_z[s, f] += ga * w / tolerance
                            gz -= ga * w / tolerance
                    gq = 2.0 * gw * _weight_slope(kernel, q)
                    gu -= gq * du * su
                    gv -= gq * dv * sv
                    gsu += gq * du * du / su
                    gsv += gq * dv * dv / sv
            grad_uv[s, k, 0] = gu
            grad_uv[s, k, 1] = gv
            grad_z[s, k] += gz
            grad_inv_radius[s, k, 0] = gsu
            grad_inv_radius[s, k, 1] = gsv


def _in_threads(function: Callable, num_pictures: int, *args) -> None:
    """Call ``function(start, stop, *args)`` on blocks of pictures in torch's number of threads.

    Plain threads around loops that release the GIL, rather than numba's own parallel loops: those
    abort in a forked data loading worker, and when two threads of a program enter them at once.
    """
    threads = min(torch.get_num_threads(), num_pictures)
    if threads <= 1:
        function(0, num_pictures, *args)
        return
    key = (os.getpid(), threads)  # threads do not survive a fork
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix='splat')
    edges = [num_pictures * t // threads for t in range(threads + 1)]
    jobs = [_pools[key].submit(function, a, b, *args) for a, b in zip(edges, edges[1:])]
    for job in jobs:
        job.result()


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [t.detach().contiguous().numpy() for t in tensors]


class _Splat(torch.autograd.Function):
    @staticmethod
    def forward(ctx, uv, z, inv_radius, valid, features, image_size, kernel, tolerance):
        (pictures, _), channels = z.shape, features.shape[2]
        shape = (pictures, *image_size)
        depth, mask, total = (z.new_zeros(shape) for _ in range(3))
        index = torch.full(shape, -1)
        rendered = z.new_zeros(*shape, channels)
        views = pictures // max(features.shape[0], 1)
        ctx.settings = (views, _KERNEL_IDS[kernel], tolerance, FRONT_WEIGHT)
        inputs = (uv, z, inv_radius, valid, features)
        maps = (depth, mask, index, total, rendered)
        _in_threads(_forward, pictures, *ctx.settings, *_arrays(*inputs, *maps))
        ctx.save_for_backward(*inputs, *maps)
        ctx.mark_non_differentiable(index)
        return depth, mask, index, rendered

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_depth, grad_mask, _, grad_rendered):
        saved = ctx.saved_tensors
        uv, z, inv_radius, _, features = saved[:5]
        grads = [torch.zeros_like(t, memory_format=torch.contiguous_format)
                 for t in (uv, z, inv_radius)]  # fmt: skip
        channels = features.shape[2] if ctx.needs_input_grad[4] else 0
        grad_features = z.new_zeros(*z.shape, channels)
        arrays = _arrays(*saved, grad_depth, grad_mask, grad_rendered, *grads, grad_features)
        _in_threads(_backward, len(z), *ctx.settings, *arrays)
        views = ctx.settings[0]
        if channels:
            grad_features = grad_features.unflatten(0, (-1, views)).sum(1)
        else:
            grad_features = None
        return (*grads[:3], None, grad_features, None, None, None)


def splat_cpu(
    uv: Tensor,
    z: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    features: Tensor | None,
    image_size: tuple[int, int],
    kernel: str,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """See :func:`mm3dpretrain.models.renderers.splat_torch.splat_torch`; CPU tensors only."""
    given = z.new_zeros(1, z.shape[1], 0) if features is None else features
    depth, mask, index, rendered = _Splat.apply(
        uv, z, inv_radius, valid, given, image_size, kernel, tolerance
    )
    return depth, mask, index, None if features is None else rendered.permute(0, 3, 1, 2)
