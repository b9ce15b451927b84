"""Maximum compositing of splats: the p2i operator of SpareNet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .splat_naive import winners_naive
from .splat_torch import kernel_weight, resolve_backend, scaled_distance2, winners_torch


def p2i_max(
    uv: Tensor,
    inv_radius: Tensor,
    values: Tensor,
    image_size: tuple[int, int],
    kernel: str = 'cosine',
    valid: Tensor | None = None,
    background: Tensor | None = None,
    backend: str = 'auto',
) -> tuple[Tensor, Tensor]:
    """Splat N points into each of S pictures; every channel of a pixel takes its maximum.

        image[c] = max(background[c], max_k w_k values_k[c])

    with the weights w of PointSplatRenderer. There is no test of depth. Only the winner of a
    channel gets a gradient, or the background where no point exceeds it; of equals the lowest
    index wins. This is SpareNet's ``p2i`` with ``reduce='max'``. Its pixel coordinates
    ``(p + 1) / 2 (size - 1)`` are whole numbers at pixel centres: add 0.5 to get ours.

    Args:
        uv: (S, N, 2) pixel positions; points outside of the picture reach into it.
        inv_radius: (S, N, 2), 1 / radius in pixels along u and v.
        values: (B, N, C); S must be a multiple of B, pictures of one sample adjacent.
        image_size: (H, W).
        kernel: 'cosine', 'quadratic', 'gaussian' or 'disc'.
        valid: bool (S, N), points to draw; default all.
        background: (S, C, H, W); default 0.
        backend: see PointSplatRenderer.

    Returns:
        image (S, C, H, W), and the winners, int32 (S, C, H, W), -1 for the background.
    """
    if valid is None:
        valid = torch.ones(uv.shape[:2], dtype=torch.bool, device=uv.device)
    if background is None:
        background = uv.new_zeros(len(uv), values.shape[2], *image_size)
    winner = find_winners(uv, inv_radius, valid, values, background, kernel, backend)
    return _Maximum.apply(uv, inv_radius, values, background, winner, kernel), winner


@torch.no_grad()
def find_winners(
    uv: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    values: Tensor,
    background: Tensor,
    kernel: str,
    backend: str,
) -> Tensor:
    """The winners that :func:`p2i_max` describes, int32 (S, C, H, W)."""
    backend = resolve_backend(backend, uv.device)
    if backend == 'numba':
        from .splat_cpu import winners_cpu as search  # numba takes a moment to import
    else:
        search = winners_torch if backend == 'torch' else winners_naive
    return search(uv, inv_radius, valid, values, background, kernel)


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


class _Maximum(torch.autograd.Function):
    """Works channel by channel, backwards anew, so that memory is that of image and winners."""

    @staticmethod
    def forward(ctx, uv, inv_radius, values, background, winner, kernel):
        ctx.save_for_backward(uv, inv_radius, values, winner)
        ctx.kernel = kernel
        image = background.clone(memory_format=torch.contiguous_format)
        for c in range(values.shape[2]):
            product, pixel = _products(uv, inv_radius, values[..., c], winner[:, c], kernel)
            plane = image[:, c]
            plane.copy_(plane.flatten().index_copy(0, pixel, product).view_as(plane))
        return image

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        *inputs, winner = ctx.saved_tensors
        uv, inv_radius, values = (t.detach() for t in inputs)
        grads = [torch.zeros_like(t) for t in (uv, inv_radius, values)]
        for c in range(values.shape[2]):
            leaves = [t.requires_grad_() for t in (uv, inv_radius, values[..., c].clone())]
            with torch.enable_grad():
                product, pixel = _products(*leaves, winner[:, c], ctx.kernel)
            grad_product = grad[:, c].flatten()[pixel]
            # the weight of a disc does not depend on positions
            parts = torch.autograd.grad(product, leaves, grad_product, materialize_grads=True)
            for total, part in zip((*grads[:2], grads[2][..., c]), parts):
                total += part
        grad_background = grad.masked_fill(winner >= 0, 0) if ctx.needs_input_grad[3] else None
        return (*grads, grad_background, None, None)


def _products(
    uv: Tensor, inv_radius: Tensor, values: Tensor, winner: Tensor, kernel: str
) -> tuple[Tensor, Tensor]:
    """Weight times value (P,) of the winners of one channel, and their pixels (P,)."""
    flat = winner.reshape(-1)
    pixel = torch.nonzero(flat >= 0).squeeze(1)
    pixels_of_sample = flat.numel() // max(1, len(values))
    sample = torch.div(pixel, max(1, pixels_of_sample), rounding_mode='floor')
    value = values.reshape(-1)[sample * values.shape[1] + flat[pixel]]
    return winner_weight(uv, inv_radius, winner, pixel, kernel) * value, pixel
