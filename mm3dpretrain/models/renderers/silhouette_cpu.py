"""Soft silhouettes on the CPU with compiled loops. Same results as ``soft_mask_torch``.

Faces are drawn one after the other into the pixels around them, and once more for the gradients:
no list of close faces is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mm3dpretrain.ops import mesh_kernels

from .splat_cpu import as_arrays, in_threads

if TYPE_CHECKING:
    from .silhouette import SoftSilhouette


class _SoftMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx, image, points, faces, index, inside, perspective, facing, settings):
        views = len(points) // max(len(faces), 1)
        # 1 - mask: the product, which is what the gradients need exactly
        clear = (index < 0).to(image.dtype)
        inputs = (image, points, faces, index, inside, facing, clear)
        ctx.settings = (views, perspective, settings.sigmainv, settings.boxlen, settings.knum)
        in_threads(mesh_kernels.soft_mask, len(points), *ctx.settings, *as_arrays(*inputs))
        ctx.save_for_backward(*inputs)
        return 1 - clear

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_mask):
        saved = ctx.saved_tensors
        grad_image = torch.zeros_like(saved[0], memory_format=torch.contiguous_format)
        arrays = as_arrays(*saved, -grad_mask, grad_image)
        in_threads(mesh_kernels.soft_mask_backward, len(grad_image), *ctx.settings, *arrays)
        return (grad_image, *(None,) * 7)


def soft_mask_cpu(
    image: Tensor,
    points: Tensor,
    faces: Tensor,
    index: Tensor,
    inside: Tensor,
    perspective: bool,
    facing: Tensor,
    settings: SoftSilhouette,
) -> Tensor:
    """See :func:`mm3dpretrain.models.renderers.silhouette.soft_mask_torch`; CPU tensors only."""
    return _SoftMask.apply(image, points, faces, index, inside, perspective, facing, settings)
