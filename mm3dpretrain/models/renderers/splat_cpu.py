"""Splatting on the CPU with compiled loops. Same results as ``splat_torch``, many times faster.

One pass over the footprints from front to back, and one for the gradients. No list of fragments is
kept, so the memory is that of the maps. Pictures are divided among threads; each is computed by one
thread, in the order of depth, which makes the result independent of the number of threads and of
the rest of the batch.
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
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}

# Nested series, from inside out: cos y = 1 - t/(1 2) (1 - t/(3 4) (1 - ...)) and
# sin y / y = 1 - t/(2 3) (1 - t/(4 5) (1 - ...)) with t = y^2. For y <= pi/2 the terms left out
# are below 1e-17. Several times cheaper than a root and a cosine.
_COS = tuple(1.0 / (n * (n + 1)) for n in range(21, 0, -2))
_SINC = tuple(1.0 / (n * (n + 1)) for n in range(22, 1, -2))
_QUARTER_PI2 = math.pi**2 / 4


def _compile(**options) -> Callable:
    """Compile at the first call, without the GIL; keep the machine code on disk if possible."""

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # neither the package nor the user's cache folder can be written
            return numba.njit(nogil=True, **options)(function)

    return decorate


_jit = _compile(error_model='numpy')
_inline = _compile(inline='always')


@_inline
def _bounds(centre, inv_radius, size):
    """First and one past the last pixel whose centre can lie in the footprint."""
    radius = 1.0 / inv_radius
    low = max(centre - radius - 0.5, 0.0)
    high = min(centre + radius - 0.5, size - 1.0)
    if not low <= high:
        return 0, 0
    return int(math.ceil(low)), int(math.floor(high)) + 1


@_inline
def _half_cosine(q):
    """cos(pi sqrt(q) / 2)."""
    t = _QUARTER_PI2 * q
    c = 1.0
    for r in _COS:
        c = 1.0 - t * r * c
    return c


@_inline
def _weight(kernel, q):
    if kernel == 0:
        return 1.0
    if kernel == 1:
        return 1.0 - q
    c = _half_cosine(q)  # 0.5 + 0.5 cos(2 y) = cos(y)^2
    return c * c


@_inline
def _weight_slope(kernel, q):
    """Derivative of the weight with respect to q."""
    if kernel == 0:
        return 0.0
    if kernel == 1:
        return -1.0
    t = _QUARTER_PI2 * q
    s = 1.0
    for r in _SINC:
        s = 1.0 - t * r * s
    return -_QUARTER_PI2 * s * _half_cosine(q)


@_jit
def _forward(
    start, stop, views, kernel, inv_tolerance, front_weight,
    uv, z, inv_radius, order, count, features,
    depth, mask, index, inv_total, rendered,
):  # fmt: skip
    height, width = depth.shape[1:]
    channels = features.shape[2]
    scalar = uv.dtype.type
    nearest = np.empty((height, width), uv.dtype)
    # depth from which on nothing matters any more in the pixel
    closed = np.empty((height, width), uv.dtype)
    for s in range(start, stop):
        feature = features[s // views]
        closed[:] = np.inf
        for n in range(count[s]):
            k = order[s, n]
            u, v, zk = uv[s, k, 0], uv[s, k, 1], z[s, k]
            su, sv = inv_radius[s, k, 0], inv_radius[s, k, 1]
            j0, j1 = _bounds(u, su, width)
            i0, i1 = _bounds(v, sv, height)
            for i in range(i0, i1):
                dv = (scalar(i + 0.5) - v) * sv
                for j in range(j0, j1):
                    if zk >= closed[i, j]:
                        continue
                    du = (scalar(j + 0.5) - u) * su
                    q = du * du + dv * dv
                    if not q < 1:
                        continue
                    a = _weight(kernel, q)
                    covered = mask[s, i, j]
                    if covered < 1:
                        covered += a
                        mask[s, i, j] = covered
                    if index[s, i, j] < 0:
                        index[s, i, j] = k
                        nearest[i, j] = zk
                        a += front_weight
                    else:
                        # without tolerance its inverse is infinite, and 0 * inf is not above 0
                        fade = 1.0 - (zk - nearest[i, j]) * inv_tolerance
                        if not fade > 0:
                            a = 0.0
                        else:
                            a *= fade
                    if covered >= 1:
                        closed[i, j] = nearest[i, j] + 1.0 / inv_tolerance
                    if a > 0:
                        inv_total[s, i, j] += a
                        depth[s, i, j] += a * zk
                        for c in range(channels):
                            rendered[s, i, j, c] += a * feature[k, c]
        for i in range(height):
            for j in range(width):
                if index[s, i, j] >= 0:
                    mask[s, i, j] = min(mask[s, i, j], 1.0)
                    inverse = 1.0 / inv_total[s, i, j]
                    inv_total[s, i, j] = inverse
                    depth[s, i, j] *= inverse
                    for c in range(channels):
                        rendered[s, i, j, c] *= inverse


@_jit
def _backward(
    start, stop, views, kernel, inv_tolerance, front_weight,
    uv, z, inv_radius, order, count, features,
    depth, mask, index, inv_total, rendered,
    grad_depth, grad_mask, grad_rendered,
    grad_uv, grad_z, grad_inv_radius, grad_features,
):  # fmt: skip
    height, width = depth.shape[1:]
    channels = features.shape[2]
    want_features = grad_features.shape[2] > 0
    scalar = uv.dtype.type
    for s in range(start, stop):
        feature = features[s // views]
        for n in range(count[s]):
            k = order[s, n]
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
                    fade = 1.0
                    if f != k:
                        fade -= (zk - z[s, f]) * inv_tolerance
                    blended = fade > 0
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
                        inverse = inv_total[s, i, j]
                        share = w * fade
                        if f == k:
                            share += front_weight
                        share *= inverse
                        gd = grad_depth[s, i, j]
                        ga = gd * (zk - depth[s, i, j])
                        for c in range(channels):
                            grad = grad_rendered[s, i, j, c]
                            ga += grad * (feature[k, c] - rendered[s, i, j, c])
                            if want_features:
                                grad_features[s, k, c] += grad * share
                        ga *= inverse
                        gw += ga * fade
                        gz += gd * share
                        if f != k:
                            grad_fade = ga * w * inv_tolerance
                            grad_z[s, f] += grad_fade
                            gz -= grad_fade
                    gq = 2.0 * gw * _weight_slope(kernel, q)
                    gu += gq * du
                    gv += gq * dv
                    gsu += gq * du * du
                    gsv += gq * dv * dv
            grad_uv[s, k, 0] = -gu * su
            grad_uv[s, k, 1] = -gv * sv
            grad_z[s, k] += gz
            grad_inv_radius[s, k, 0] = gsu / su
            grad_inv_radius[s, k, 1] = gsv / sv


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
        depth, mask, inv_total = (z.new_zeros(shape) for _ in range(3))
        index = torch.full(shape, -1)
        rendered = z.new_zeros(*shape, channels)
        # stable: of equal depths the lowest index comes first
        order = torch.sort(z.masked_fill(~valid, math.inf), stable=True).indices
        count = valid.sum(1)
        views = pictures // max(features.shape[0], 1)
        inv_tolerance = 1 / tolerance if tolerance > 0 else math.inf
        ctx.settings = (views, _KERNEL_IDS[kernel], inv_tolerance, FRONT_WEIGHT)
        inputs = (uv, z, inv_radius, order, count, features)
        maps = (depth, mask, index, inv_total, rendered)
        _in_threads(_forward, pictures, *ctx.settings, *_arrays(*inputs, *maps))
        ctx.save_for_backward(*inputs, *maps)
        ctx.mark_non_differentiable(index)
        return depth, mask, index, rendered

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_depth, grad_mask, _, grad_rendered):
        saved = ctx.saved_tensors
        uv, z, inv_radius, _, _, features = saved[:6]
        grads = [
            torch.zeros_like(t, memory_format=torch.contiguous_format) for t in (uv, z, inv_radius)
        ]
        channels = features.shape[2] if ctx.needs_input_grad[4] else 0
        grad_features = z.new_zeros(*z.shape, channels)
        arrays = _arrays(*saved, grad_depth, grad_mask, grad_rendered, *grads, grad_features)
        _in_threads(_backward, len(z), *ctx.settings, *arrays)
        views = ctx.settings[0]
        if channels:
            grad_features = grad_features.unflatten(0, (-1, views)).sum(1)
        else:
            grad_features = None
        return (*grads, None, grad_features, None, None, None)


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
