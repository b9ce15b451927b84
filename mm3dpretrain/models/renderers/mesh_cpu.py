"""Mesh rasterisation on the CPU with compiled loops. Same results as ``mesh_torch``, much faster.

Pictures are divided among threads; each is computed by one thread, which makes the result
independent of the number of threads and of the rest of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mm3dpretrain.ops import mesh_kernels

from .splat_cpu import as_arrays, in_threads


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points, features, faces, index, feature_rows, perspective, dtype):
        pictures = len(points)
        depth = torch.empty(index.shape, dtype=dtype)
        bary = torch.empty(*index.shape, 3, dtype=dtype)
        rendered = features.new_empty(*index.shape, features.shape[2])
        ctx.settings = (pictures // len(faces), perspective)
        inputs = (points, faces, index, features, feature_rows)
        ctx.save_for_backward(*inputs)
        arrays = as_arrays(*inputs, depth, bary, rendered)
        in_threads(mesh_kernels.interpolate, pictures, *ctx.settings, *arrays)
        return depth, bary, rendered

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_depth, grad_bary, grad_rendered):
        points, _, _, features, _ = ctx.saved_tensors
        grad_points = torch.zeros_like(points, memory_format=torch.contiguous_format)
        wanted = ctx.needs_input_grad[1]
        # one per picture, so that threads do not meet
        grad_features = features.new_zeros(
            len(points), features.shape[1], features.shape[2] if wanted else 0
        )
        arrays = as_arrays(
            *ctx.saved_tensors, grad_depth, grad_bary, grad_rendered, grad_points, grad_features
        )
        in_threads(mesh_kernels.interpolate_backward, len(points), *ctx.settings, *arrays)
        views = ctx.settings[0]
        grad_features = grad_features.unflatten(0, (-1, views)).sum(1) if wanted else None
        return grad_points, grad_features, None, None, None, None, None


@torch.no_grad()
def find_faces(
    points: Tensor,
    faces: Tensor,
    image_size: tuple[int, int],
    perspective: bool,
    near: float,
    far: float,
    facing: Tensor,
) -> Tensor:
    """See :func:`mm3dpretrain.models.renderers.mesh_torch.find_faces`; CPU tensors only."""
    pictures = len(points)
    index = torch.empty(pictures, *image_size, dtype=torch.int64)
    views = pictures // max(len(faces), 1)
    arrays = as_arrays(points, faces, facing, index)
    in_threads(mesh_kernels.find_faces, pictures, views, perspective, near, far, *arrays)
    return index


def interpolate_cpu(
    points: Tensor,
    faces: Tensor,
    index: Tensor,
    perspective: bool,
    features: Tensor,
    feature_rows: Tensor,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`mm3dpretrain.models.renderers.mesh_torch.interpolate_torch`; CPU tensors only."""
    depth, bary, rendered = _Interpolate.apply(
        points, features, faces, index, feature_rows, perspective, dtype
    )
    return depth, bary, rendered.permute(0, 3, 1, 2)
