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

from .splat_torch import FRONT_WEIGHT, GAUSSIAN_SHARPNESS

_KERNEL_IDS = {'disc': 0, 'quadratic': 1, 'cosine': 2, 'gaussian': 3}
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
# pixels of a row whose weights are computed in one go, with SIMD instructions
_BLOCK = 16


def _polynomial(function: Callable, degree: int) -> tuple[float, ...]:
    """Coefficients, lowest first, of a nearly minimax polynomial on [0, 1]."""
    domain, chebyshev = [0, 1], np.polynomial.Chebyshev
    series = chebyshev.interpolate(function, degree, domain=domain)
    return tuple(series.convert(kind=np.polynomial.Polynomial, domain=[-1, 1]).coef.tolist())


# Several times cheaper than roots, cosines and exponentials, and off by less than 1e-12 and 1e-13.
# cos(y)^2 = 0.5 + 0.5 cos(2 y), and exp(x / 8)^8 = exp(x).
_COS = _polynomial(lambda q: np.cos(0.5 * np.pi * np.sqrt(q)), 6)
_EXP = _polynomial(lambda q: np.exp(-GAUSSIAN_SHARPNESS / 8 * q), 8)
_RIM = math.exp(-GAUSSIAN_SHARPNESS)


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
def _bounds(centre, radius, size):
    """First and one past the last pixel whose centre can lie within ``radius`` of ``centre``."""
    low = max(centre - radius - 0.5, 0.0)
    high = min(centre + radius - 0.5, size - 1.0)
    if not low <= high:
        return 0, 0
    return int(math.ceil(low)), int(math.floor(high)) + 1


@_inline
def _cosine_root(q):
    """cos(pi sqrt(q) / 2)."""
    s = type(q)  # the precision of q, not that of the literals
    c = s(_COS[5]) + q * s(_COS[6])
    c = s(_COS[3]) + q * (s(_COS[4]) + q * c)
    return s(_COS[0]) + q * (s(_COS[1]) + q * (s(_COS[2]) + q * c))


@_inline
def _cosine_root_slope(q):
    s = type(q)
    c = s(5 * _COS[5]) + q * s(6 * _COS[6])
    c = s(3 * _COS[3]) + q * (s(4 * _COS[4]) + q * c)
    return s(_COS[1]) + q * (s(2 * _COS[2]) + q * c)


@_inline
def _exponential(q):
    """exp(-sharpness q)."""
    s = type(q)
    c = s(_EXP[6]) + q * (s(_EXP[7]) + q * s(_EXP[8]))
    c = s(_EXP[3]) + q * (s(_EXP[4]) + q * (s(_EXP[5]) + q * c))
    c = s(_EXP[0]) + q * (s(_EXP[1]) + q * (s(_EXP[2]) + q * c))
    c = c * c
    c = c * c
    return c * c


@_inline
def _weight(kernel, q):
    s = type(q)
    if kernel == 0:
        w = s(1.0)
    elif kernel == 1:
        w = s(1.0) - q
    elif kernel == 2:
        w = _cosine_root(q)
        w = w * w
    else:
        w = max((_exponential(q) - s(_RIM)) * s(1 / (1 - _RIM)), s(0.0))
    return w


@_inline
def _slope(kernel, q):
    """Derivative of the weight with respect to q."""
    s = type(q)
    if kernel == 0:
        slope = s(0.0)
    elif kernel == 1:
        slope = s(-1.0)
    elif kernel == 2:
        slope = s(2.0) * _cosine_root(q) * _cosine_root_slope(q)
    else:
        slope = s(-GAUSSIAN_SHARPNESS / (1 - _RIM)) * _exponential(q)
    return slope


@_jit
def _weights(kernel, j, u, su, dv, weight):
    """Weights of the ``_BLOCK`` pixels from column ``j`` on; -1 outside of the footprint."""
    s = type(u)
    for i in range(_BLOCK):
        du = (s(j + i) + s(0.5) - u) * su
        q = du * du + dv * dv
        w = _weight(kernel, q)
        weight[i] = w if q < s(1.0) else s(-1.0)


@_jit
def _weights_and_slopes(kernel, j, u, su, dv, both):
    """The same, and behind them the derivatives with respect to q."""
    s = type(u)
    for i in range(_BLOCK):
        du = (s(j + i) + s(0.5) - u) * su
        q = du * du + dv * dv
        w = _weight(kernel, q)
        both[i] = w if q < s(1.0) else s(-1.0)
        both[_BLOCK + i] = _slope(kernel, q)


@_jit
def _forward(
    start, stop, views, kernel, inv_tolerance, front_weight,
    uv, z, inv_radius, order, count, features,
    depth, mask, index, inv_total, rendered,
):  # fmt: skip
    height, width = depth.shape[1:]
    channels = features.shape[2]
    scalar = uv.dtype.type
    zero, one, half = scalar(0.0), scalar(1.0), scalar(0.5)
    inv_tolerance, front_weight = scalar(inv_tolerance), scalar(front_weight)
    margin = scalar(1e-3)  # the weights decide; nothing that rounding moved may be missed
    weight = np.empty(_BLOCK, uv.dtype)
    # of each pixel side by side: depth of the front, cover, sums of weights and weighted depths
    state = np.empty((height, width, 4), uv.dtype)
    for s in range(start, stop):
        feature = features[s // views]
        state[:] = zero
        state[:, :, 0] = np.inf
        for n in range(count[s]):
            k = order[s, n]
            u, v, zk = uv[s, k, 0], uv[s, k, 1], z[s, k]
            su, sv = inv_radius[s, k, 0], inv_radius[s, k, 1]
            i0, i1 = _bounds(v, one / sv, height)
            for i in range(i0, i1):
                dv = (scalar(i) + half - v) * sv
                chord = math.sqrt(max(one - dv * dv, zero)) / su
                j0, j1 = _bounds(u, chord + margin, width)
                for block in range(j0, j1, _BLOCK):
                    _weights(kernel, block, u, su, dv, weight)
                    for j in range(block, min(block + _BLOCK, j1)):
                        w = weight[j - block]
                        if w < zero:
                            continue
                        pixel = state[i, j]
                        # without tolerance its inverse is infinite, and 0 * inf is not above 0
                        fade = one - (zk - pixel[0]) * inv_tolerance
                        pixel[1] += w
                        if pixel[0] == np.inf:
                            pixel[0] = zk
                            index[s, i, j] = k
                            a = w + front_weight
                        elif fade > zero:
                            a = w * fade
                        else:
                            continue
                        pixel[2] += a
                        pixel[3] += a * zk
                        for c in range(channels):
                            rendered[s, i, j, c] += a * feature[k, c]
        for i in range(height):
            for j in range(width):
                pixel = state[i, j]
                if pixel[0] < np.inf:
                    inverse = one / pixel[2]
                    mask[s, i, j] = min(pixel[1], one)
                    inv_total[s, i, j] = inverse
                    depth[s, i, j] = pixel[3] * inverse
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
    zero, one, half, two = scalar(0.0), scalar(1.0), scalar(0.5), scalar(2.0)
    inv_tolerance, front_weight = scalar(inv_tolerance), scalar(front_weight)
    margin = scalar(1e-3)
    weight = np.empty(2 * _BLOCK, uv.dtype)
    # of each pixel side by side: depth of the front; gradients of cover, of the sum of weights and
    # of that of weighted depths; 1 / sum of weights; gradient of the depth of the front
    state = np.empty((height, width, 6), uv.dtype)
    for s in range(start, stop):
        feature = features[s // views]
        for i in range(height):
            for j in range(width):
                pixel, f = state[i, j], index[s, i, j]
                pixel[:] = zero
                if f < 0:
                    pixel[0] = -np.inf
                    continue
                inverse, gd = inv_total[s, i, j], grad_depth[s, i, j]
                pixel[0] = z[s, f]
                if mask[s, i, j] < one:
                    pixel[1] = grad_mask[s, i, j]
                moment = gd * depth[s, i, j]
                for c in range(channels):
                    moment += grad_rendered[s, i, j, c] * rendered[s, i, j, c]
                pixel[2] = -moment * inverse
                pixel[3] = gd * inverse
                pixel[4] = inverse
        for n in range(count[s]):
            k = order[s, n]
            u, v, zk = uv[s, k, 0], uv[s, k, 1], z[s, k]
            su, sv = inv_radius[s, k, 0], inv_radius[s, k, 1]
            i0, i1 = _bounds(v, one / sv, height)
            gu, gv, gz, gsu, gsv = zero, zero, zero, zero, zero
            for i in range(i0, i1):
                dv = (scalar(i) + half - v) * sv
                chord = math.sqrt(max(one - dv * dv, zero)) / su
                j0, j1 = _bounds(u, chord + margin, width)
                for block in range(j0, j1, _BLOCK):
                    _weights_and_slopes(kernel, block, u, su, dv, weight)
                    for j in range(block, min(block + _BLOCK, j1)):
                        w = weight[j - block]
                        if w < zero:
                            continue
                        pixel = state[i, j]
                        fade = one - (zk - pixel[0]) * inv_tolerance
                        gw = pixel[1]
                        front = zk == pixel[0] and index[s, i, j] == k
                        if front:
                            fade = one
                        if fade > zero:
                            a = w * fade
                            if front:
                                a += front_weight
                            ga = pixel[2] + pixel[3] * zk
                            for c in range(channels):
                                grad = grad_rendered[s, i, j, c] * pixel[4]
                                ga += grad * feature[k, c]
                                if want_features:
                                    grad_features[s, k, c] += grad * a
                            gw += ga * fade
                            gz += pixel[3] * a
                            if not front:
                                grad_fade = ga * w * inv_tolerance
                                pixel[5] += grad_fade
                                gz -= grad_fade
                        gq = gw * weight[_BLOCK + j - block]
                        du = (scalar(j) + half - u) * su
                        gu += gq * du
                        gv += gq * dv
                        gsu += gq * du * du
                        gsv += gq * dv * dv
            grad_uv[s, k, 0] = -two * gu * su
            grad_uv[s, k, 1] = -two * gv * sv
            grad_z[s, k] += gz
            grad_inv_radius[s, k, 0] = two * gsu / su
            grad_inv_radius[s, k, 1] = two * gsv / sv
        for i in range(height):
            for j in range(width):
                f = index[s, i, j]
                if f >= 0:
                    grad_z[s, f] += state[i, j, 5]


@_jit
def _winners(start, stop, views, kernel, uv, inv_radius, valid, values, best, winner):
    height, width, channels = best.shape[1:]
    scalar = uv.dtype.type
    zero, one, half = scalar(0.0), scalar(1.0), scalar(0.5)
    margin = scalar(1e-3)
    weight = np.empty(_BLOCK, uv.dtype)
    for s in range(start, stop):
        value = values[s // views]
        for k in range(uv.shape[1]):
            if not valid[s, k]:
                continue
            u, v = uv[s, k, 0], uv[s, k, 1]
            su, sv = inv_radius[s, k, 0], inv_radius[s, k, 1]
            i0, i1 = _bounds(v, one / sv, height)
            for i in range(i0, i1):
                dv = (scalar(i) + half - v) * sv
                chord = math.sqrt(max(one - dv * dv, zero)) / su
                j0, j1 = _bounds(u, chord + margin, width)
                for block in range(j0, j1, _BLOCK):
                    _weights(kernel, block, u, su, dv, weight)
                    for j in range(block, min(block + _BLOCK, j1)):
                        w = weight[j - block]
                        if w < zero:
                            continue
                        for c in range(channels):
                            product = w * value[k, c]
                            if product > best[s, i, j, c]:
                                best[s, i, j, c] = product
                                winner[s, i, j, c] = k


@_jit
def _winners_backward(
    start, stop, views, kernel, uv, inv_radius, values, winner, grad,
    grad_uv, grad_inv_radius, grad_values,
):  # fmt: skip
    height, width, channels = winner.shape[1:]
    scalar = uv.dtype.type
    half, two = scalar(0.5), scalar(2.0)
    for s in range(start, stop):
        for i in range(height):
            for j in range(width):
                for c in range(channels):
                    k = winner[s, i, j, c]
                    if k < 0:
                        continue
                    su, sv = inv_radius[s, k, 0], inv_radius[s, k, 1]
                    du = (scalar(j) + half - uv[s, k, 0]) * su
                    dv = (scalar(i) + half - uv[s, k, 1]) * sv
                    q = du * du + dv * dv
                    g = grad[s, i, j, c]
                    grad_values[s, k, c] += g * _weight(kernel, q)
                    gq = two * g * values[s // views, k, c] * _slope(kernel, q)
                    grad_uv[s, k, 0] -= gq * du * su
                    grad_uv[s, k, 1] -= gq * dv * sv
                    grad_inv_radius[s, k, 0] += gq * du * du / su
                    grad_inv_radius[s, k, 1] += gq * dv * dv / sv


def in_threads(function: Callable, num_pictures: int, *args) -> None:
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


def as_arrays(*tensors: Tensor) -> list[np.ndarray]:
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
        in_threads(_forward, pictures, *ctx.settings, *as_arrays(*inputs, *maps))
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
        arrays = as_arrays(*saved, grad_depth, grad_mask, grad_rendered, *grads, grad_features)
        in_threads(_backward, len(z), *ctx.settings, *arrays)
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


def winners_cpu(
    uv: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    values: Tensor,
    background: Tensor,
    kernel: str,
) -> tuple[Tensor, Tensor]:
    """See :func:`mm3dpretrain.models.renderers.splat_torch.winners_torch`; CPU tensors only."""
    best = background.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
    winner = torch.full(best.shape, -1, dtype=torch.int32)
    views = len(uv) // max(1, len(values))
    arrays = as_arrays(uv, inv_radius, valid, values, best, winner)
    in_threads(_winners, len(uv), views, _KERNEL_IDS[kernel], *arrays)
    return best.permute(0, 3, 1, 2), winner.permute(0, 3, 1, 2)


def winners_backward_cpu(
    uv: Tensor, inv_radius: Tensor, values: Tensor, winner: Tensor, grad: Tensor, kernel: str
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`~mm3dpretrain.models.renderers.splat_torch.winners_backward_torch`."""
    views = len(uv) // max(1, len(values))
    grads = [torch.zeros(t.shape, dtype=t.dtype) for t in (uv, inv_radius)]
    grads.append(values.new_zeros(len(uv), *values.shape[1:]))
    planes = (t.permute(0, 2, 3, 1) for t in (winner, grad))
    arrays = as_arrays(uv, inv_radius, values, *planes, *grads)
    in_threads(_winners_backward, len(uv), views, _KERNEL_IDS[kernel], *arrays)
    return grads[0], grads[1], grads[2].unflatten(0, (-1, views)).sum(1)
