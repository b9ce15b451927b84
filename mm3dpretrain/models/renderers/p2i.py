"""Maximum compositing of splats: the p2i operator of SpareNet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .splat_naive import winners_naive
from .splat_torch import resolve_backend, winners_backward_torch, winners_torch


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
    return _Maximum.apply(uv, inv_radius, values, background, valid, kernel, backend)


@torch.no_grad()
def find_winners(
    uv: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    values: Tensor,
    background: Tensor,
    kernel: str,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """What :func:`p2i_max` returns, without gradients."""
    backend = resolve_backend(backend, uv.device)
    if backend == 'numba':
        from .splat_cpu import winners_cpu as search  # numba takes a moment to import
    else:
        search = winners_torch if backend == 'torch' else winners_naive
    return search(uv, inv_radius, valid, values, background, kernel)


class _Maximum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, uv, inv_radius, values, background, valid, kernel, backend):
        image, winner = find_winners(uv, inv_radius, valid, values, background, kernel, backend)
        ctx.save_for_backward(uv, inv_radius, values, winner)
        ctx.settings = kernel, backend
        ctx.mark_non_differentiable(winner)
        return image, winner

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _):
        *inputs, winner = ctx.saved_tensors
        kernel, backend = ctx.settings
        if resolve_backend(backend, grad.device) == 'numba':
            from .splat_cpu import winners_backward_cpu as gradients
        else:
            gradients = winners_backward_torch
        grads = gradients(*inputs, winner, grad, kernel)
        grad_background = grad.masked_fill(winner >= 0, 0) if ctx.needs_input_grad[3] else None
        return (*grads, grad_background, None, None, None)
