"""Splatting in plain torch: any device, gradients by autograd. See ``point_splat`` for formulas."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Weight that the front-most point has in addition, see PointSplatRenderer.
FRONT_WEIGHT = 0.01
# The Gaussian kernel is exp(-GAUSSIAN_SHARPNESS q), so its sigma is a third of the radius.
GAUSSIAN_SHARPNESS = 4.5
# Candidates (point, pixel) looked at in one go: bounds the memory of the search.
MAX_CANDIDATES = 1 << 22
# Products (fragment, channel) computed in one go: bounds the memory of the blend.
MAX_PRODUCTS = 1 << 21


def kernel_weight(kernel: str, q: Tensor) -> Tensor:
    """Footprint weight of ``q`` = squared distance / squared radius, in [0, 1)."""
    if kernel == 'disc':
        return torch.ones_like(q)
    if kernel == 'quadratic':
        return 1 - q
    if kernel == 'gaussian':
        # shifted down, so that it ends at 0 instead of with a step, and scaled back to 1 at q = 0
        rim = math.exp(-GAUSSIAN_SHARPNESS)
        return (torch.exp(-GAUSSIAN_SHARPNESS * q) - rim) / (1 - rim)
    # the root has no derivative at 0, where that of the weight with respect to a position is 0
    return 0.5 + 0.5 * torch.cos(math.pi * q.clamp_min(1e-12).sqrt())


def resolve_backend(backend: str, device: torch.device) -> str:
    """The back-end to use, 'numba', 'torch' or 'naive'; 'auto' is numba on the CPU, else torch.

    Raises:
        ValueError: for numba with tensors that are not on the CPU.
    """
    if backend == 'auto':
        return 'numba' if device.type == 'cpu' else 'torch'
    if backend == 'numba' and device.type != 'cpu':
        raise ValueError(f"backend 'numba' needs CPU tensors, got {device}; use 'auto'")
    return backend


def splat_torch(
    uv: Tensor,
    z: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    features: Tensor | None,
    image_size: tuple[int, int],
    kernel: str,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Splat N points into each of S pictures.

    Args:
        uv: (S, N, 2) pixel positions.
        z: (S, N) depths.
        inv_radius: (S, N, 2), 1 / radius in pixels along u and v.
        valid: bool (S, N), points to draw.
        features: (B, N, C) or None; S must be a multiple of B, pictures of one sample adjacent.
        image_size: (H, W).
        kernel, tolerance: see PointSplatRenderer.

    Returns:
        depth (S, H, W), mask (S, H, W), index int64 (S, H, W), features (S, C, H, W) or None.
    """
    (num_pictures, num_points), (height, width) = z.shape, image_size
    num_pixels = num_pictures * height * width
    uv, z, inv_radius = uv.reshape(-1, 2), z.reshape(-1), inv_radius.reshape(-1, 2)

    with torch.no_grad():
        search = (uv, z, inv_radius, valid.reshape(-1), num_points, image_size)
        point, pixel, front, full = _fragments(search, num_pixels, kernel, tolerance)

    q = scaled_distance2(uv, inv_radius, point, pixel, image_size)
    weight = kernel_weight(kernel, q)
    cover = weight.new_zeros(num_pixels).index_add(0, pixel, weight)
    mask = torch.where(full, torch.ones_like(cover), cover)

    z_point, is_front = z[point], front[pixel] == point
    if tolerance > 0:
        fade = (1 - (z_point - z[front[pixel]]) / tolerance).clamp(min=0)
    else:
        fade = is_front.to(z.dtype)
    blend = weight * fade + FRONT_WEIGHT * is_front
    total = blend.new_zeros(num_pixels).index_add(0, pixel, blend)
    share = blend / total[pixel]

    depth = z.new_zeros(num_pixels).index_add(0, pixel, share * z_point)
    shape = (num_pictures, height, width)
    rendered = None
    if features is not None:
        views = num_pictures // max(1, features.shape[0])
        sample = point // (num_points * views)
        row = sample * num_points + point % num_points
        rendered = _Blend.apply(share, features.flatten(0, 1), pixel, row, num_pixels)
        rendered = rendered.reshape(*shape, features.shape[2]).permute(0, 3, 1, 2)
    index = torch.where(front >= 0, front % max(num_points, 1), -1)
    return depth.reshape(shape), mask.reshape(shape), index.reshape(shape), rendered


def winners_torch(
    uv: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    values: Tensor,
    background: Tensor,
    kernel: str,
) -> tuple[Tensor, Tensor]:
    """The point with the largest ``weight * value`` in each channel of each pixel.

    Args:
        uv, inv_radius, valid: as for :func:`splat_torch`.
        values: (B, N, C); S must be a multiple of B.
        background: (S, C, H, W), to be exceeded.
        kernel: see PointSplatRenderer.

    Returns:
        The products (S, C, H, W), and the points, int32 (S, C, H, W): the lowest index of equals;
        the background and -1 where no point exceeds it.
    """
    (num_pictures, num_points), image_size = uv.shape[:2], tuple(background.shape[-2:])
    winner = torch.full(background.shape, -1, dtype=torch.int32, device=uv.device)
    image = torch.empty(background.shape, dtype=background.dtype, device=uv.device)
    num_pixels = winner[:, :1].numel()
    uv, inv_radius = uv.reshape(-1, 2), inv_radius.reshape(-1, 2)
    search = (uv, uv[:, 0], inv_radius, valid.reshape(-1), num_points, image_size)
    views = num_pictures // max(1, len(values))
    values = values.flatten(0, 1).T

    def products(part: slice) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """Channel within the part, points, pixels and weighted values, in chunks."""
        for point, pixel in _candidates(*search):
            weight = kernel_weight(
                kernel, scaled_distance2(uv, inv_radius, point, pixel, image_size)
            )
            sample = torch.div(point, num_points * views, rounding_mode='floor')
            point = point % num_points
            for c, channel in enumerate(values[part]):
                yield c, point, pixel, weight * channel[sample * num_points + point]

    step = max(1, MAX_PRODUCTS // max(1, num_pixels))
    for start in range(0, len(values), step):
        part = slice(start, start + step)
        floor = background[:, part].transpose(0, 1).flatten(1)
        best = floor.clone()
        for c, _, pixel, value in products(part):
            best[c].scatter_reduce_(0, pixel, value, 'amax')
        found = torch.full(best.shape, num_points, device=uv.device)
        for c, point, pixel, value in products(part):
            won = (value == best[c, pixel]) & (value > floor[c, pixel])
            found[c].scatter_reduce_(0, pixel[won], point[won], 'amin')
        found[found == num_points] = -1
        winner[:, part] = found.unflatten(1, (num_pictures, *image_size)).transpose(0, 1).int()
        image[:, part] = best.unflatten(1, (num_pictures, *image_size)).transpose(0, 1)
    return image, winner


def winner_weight(
    uv: Tensor, inv_radius: Tensor, winner: Tensor, pixel: Tensor, kernel: str
) -> Tensor:
    """Kernel weight of the winner in some pixels, differentiable.

    Args:
        uv, inv_radius: (S, N, 2).
        winner: (S, H, W), index of a point.
        pixel: int64 (P,), pixels counted over all pictures, each with a winner.
        kernel: see PointSplatRenderer.

    Returns:
        (P,).
    """
    num_points, (height, width) = uv.shape[1], winner.shape[1:]
    picture = torch.div(pixel, height * width, rounding_mode='floor')
    point = picture * num_points + winner.reshape(-1)[pixel]
    q = scaled_distance2(
        uv.reshape(-1, 2), inv_radius.reshape(-1, 2), point, pixel, (height, width)
    )
    return kernel_weight(kernel, q)


def winners_backward_torch(
    uv: Tensor, inv_radius: Tensor, values: Tensor, winner: Tensor, grad: Tensor, kernel: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``uv``, ``inv_radius`` and ``values`` from that of the products of winners.

    Args:
        uv, inv_radius, values, kernel: as for :func:`winners_torch`.
        winner: (S, C, H, W) from there.
        grad: (S, C, H, W).
    """
    uv, inv_radius, values = (t.detach() for t in (uv, inv_radius, values))
    grads = [torch.zeros_like(t) for t in (uv, inv_radius, values)]
    # channel by channel and computed anew, so that memory does not grow with the channels
    for c in range(values.shape[2]):
        flat = winner[:, c].reshape(-1)
        pixel = torch.nonzero(flat >= 0).squeeze(1)
        sample = torch.div(pixel, flat.numel() // len(values), rounding_mode='floor')
        leaves = [t.requires_grad_() for t in (uv, inv_radius, values[..., c].clone())]
        with torch.enable_grad():
            value = leaves[2].reshape(-1)[sample * values.shape[1] + flat[pixel]]
            product = winner_weight(uv, inv_radius, winner[:, c], pixel, kernel) * value
        # the weight of a disc does not depend on positions
        parts = torch.autograd.grad(
            product, leaves, grad[:, c].reshape(-1)[pixel], materialize_grads=True
        )
        for total, part in zip((grads[0], grads[1], grads[2][..., c]), parts):
            total += part
    return grads[0], grads[1], grads[2]


class _Blend(torch.autograd.Function):
    """``out[pixel[n]] += share[n] * values[row[n]]`` for all n, a few channels at a time.

    Autograd would keep a tensor of fragments x channels, which is many times the pictures.
    """

    @staticmethod
    def forward(ctx, share, values, pixel, row, num_pixels):
        ctx.save_for_backward(share, values, pixel, row)
        out = values.new_zeros(num_pixels, values.shape[1])
        for part in _channels(share, values):
            out[:, part].index_add_(0, pixel, share[:, None] * values[:, part][row])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        share, values, pixel, row = ctx.saved_tensors
        grad_share = torch.zeros_like(share)
        grad_values = torch.zeros_like(values) if ctx.needs_input_grad[1] else None
        for part in _channels(share, values):
            grad_out = grad[:, part][pixel]
            grad_share += (grad_out * values[:, part][row]).sum(1)
            if grad_values is not None:
                grad_values[:, part].index_add_(0, row, share[:, None] * grad_out)
        return grad_share, grad_values, None, None, None


def _channels(share: Tensor, values: Tensor) -> list[slice]:
    """Ranges of channels that keep the products of all fragments small."""
    step = max(1, MAX_PRODUCTS // max(1, len(share)))
    return [slice(c, c + step) for c in range(0, values.shape[1], step)]


def scaled_distance2(
    uv: Tensor, inv_radius: Tensor, point: Tensor, pixel: Tensor, image_size: tuple[int, int]
) -> Tensor:
    """Squared distance from point to pixel centre in units of the point's radius."""
    height, width = image_size
    column, row = pixel % width, pixel // width % height
    centre = torch.stack([column, row], -1).to(uv.dtype) + 0.5
    return ((centre - uv[point]) * inv_radius[point]).square().sum(-1)


def _fragments(
    search: tuple, num_pixels: int, kernel: str, tolerance: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The (point, pixel) pairs that contribute.

    Returns:
        point and pixel of every pair; for every pixel its front-most point (-1 for none), and
        whether it is fully covered. Of the pairs in fully covered pixels only those are listed
        that belong to the surface in front: the others change nothing.
    """
    uv, z, inv_radius, _, _, image_size = search
    nearest = z.new_full((num_pixels,), float('inf'))
    cover = z.new_zeros(num_pixels)
    for point, pixel in _candidates(*search):
        nearest.scatter_reduce_(0, pixel, z[point], 'amin')
        q = scaled_distance2(uv, inv_radius, point, pixel, image_size)
        cover.index_add_(0, pixel, kernel_weight(kernel, q))
    full = cover >= 1

    no_point = len(z)
    front = torch.full((num_pixels,), no_point, device=z.device)
    for point, pixel in _candidates(*search):
        first = z[point] == nearest[pixel]
        front.scatter_reduce_(0, pixel[first], point[first], 'amin')
    front[front == no_point] = -1

    points, pixels = [front[:0]], [front[:0]]
    for point, pixel in _candidates(*search):
        keep = (front[pixel] == point) | ~full[pixel] | (z[point] - nearest[pixel] < tolerance)
        points.append(point[keep])
        pixels.append(pixel[keep])
    return torch.cat(points), torch.cat(pixels), front, full


def _candidates(
    uv: Tensor,
    z: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    num_points: int,
    image_size: tuple[int, int],
) -> Iterator[tuple[Tensor, Tensor]]:
    """All (point, pixel) pairs with the pixel centre inside the footprint, in chunks."""
    height, width = image_size
    limit = uv.new_tensor([width, height])
    # clamped before the conversion to integers: far outside the picture they would overflow
    low = (uv - 1 / inv_radius - 0.5).clamp(min=0).minimum(limit).ceil().long()
    high = (uv + 1 / inv_radius - 0.5).clamp(min=-1).minimum(limit - 1).floor().long()
    size = (high - low + 1).clamp(min=0) * valid[:, None]
    count = size.prod(-1)
    chunk = torch.div(count.cumsum(0), MAX_CANDIDATES, rounding_mode='floor')
    bounds = torch.bincount(chunk).cumsum(0).tolist()
    for start, stop in zip([0, *bounds], bounds):
        if start == stop:
            continue
        part = count[start:stop]
        point = torch.repeat_interleave(torch.arange(start, stop, device=z.device), part)
        local = torch.arange(len(point), device=z.device)
        local = local - (part.cumsum(0) - part)[point - start]
        row = low[point, 1] + torch.div(local, size[point, 0], rounding_mode='floor')
        column = low[point, 0] + local % size[point, 0]
        pixel = (
            torch.div(point, num_points, rounding_mode='floor') * height + row
        ) * width + column
        inside = scaled_distance2(uv, inv_radius, point, pixel, image_size) < 1
        yield point[inside], pixel[inside]
