"""Mesh rasterisation on the CPU with compiled loops. Same results as ``mesh_torch``, much faster.

Pictures are divided among threads; each is computed by one thread, which makes the result
independent of the number of threads and of the rest of the batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mm3dpretrain.ops.rasterize import corner_edges, draw_faces

from .splat_cpu import _arrays, _compile, _in_threads

_jit = _compile(error_model='numpy')


@_jit
def _find(start, stop, views, points, faces, perspective, near, far, facing, index):
    height, width = index.shape[1:]
    depth = np.empty((height, width))
    for s in range(start, stop):
        depth[:] = np.inf
        draw_faces(points[s], faces[s // views], perspective, near, far, facing[s], index[s], depth)


@_jit
def _interpolate(
    start, stop, views, perspective, points, faces, index, features, feature_rows,
    depth, bary, rendered,
):  # fmt: skip
    height, width = index.shape[1:]
    channels = features.shape[2]
    h, edge, b = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    for s in range(start, stop):
        sample = s // views
        for i in range(height):
            for j in range(width):
                f = index[s, i, j]
                if f < 0:
                    continue
                corner_edges(points[s], faces[sample], f, perspective, h, edge)
                for k in range(3):
                    b[k] = edge[k, 0] * (j + 0.5) + edge[k, 1] * (i + 0.5) + edge[k, 2]
                total = b[0] + b[1] + b[2]
                z = 0.0
                for k in range(3):
                    b[k] /= total
                    z += b[k] * points[s, faces[sample, f, k], 2]
                    bary[s, i, j, k] = b[k]
                depth[s, i, j] = z
                r0, r1, r2 = feature_rows[sample, f]
                b0, b1, b2 = bary[s, i, j]
                for c in range(channels):
                    rendered[s, i, j, c] = (
                        b0 * features[sample, r0, c]
                        + b1 * features[sample, r1, c]
                        + b2 * features[sample, r2, c]
                    )


@_jit
def _interpolate_backward(
    start, stop, views, perspective, points, faces, index, features, feature_rows,
    grad_depth, grad_bary, grad_rendered, grad_points, grad_features,
):  # fmt: skip
    height, width = index.shape[1:]
    channels = features.shape[2]
    want_features = grad_features.shape[2] > 0
    h, edge = np.empty((3, 3)), np.empty((3, 3))
    b, gb, ge = np.empty(3), np.empty(3), np.empty((3, 3))
    for s in range(start, stop):
        sample = s // views
        for i in range(height):
            for j in range(width):
                f = index[s, i, j]
                if f < 0:
                    continue
                corner_edges(points[s], faces[sample], f, perspective, h, edge)
                for k in range(3):
                    b[k] = edge[k, 0] * (j + 0.5) + edge[k, 1] * (i + 0.5) + edge[k, 2]
                total = b[0] + b[1] + b[2]
                gz = grad_depth[s, i, j]
                mean = 0.0
                for k in range(3):
                    b[k] /= total
                    p, r = faces[sample, f, k], feature_rows[sample, f, k]
                    gb[k] = grad_bary[s, i, j, k] + gz * points[s, p, 2]
                    grad_points[s, p, 2] += gz * b[k]
                    for c in range(channels):
                        g = grad_rendered[s, i, j, c]
                        gb[k] += g * features[sample, r, c]
                        if want_features:
                            grad_features[s, r, c] += g * b[k]
                    mean += gb[k] * b[k]
                for k in range(3):
                    g = (gb[k] - mean) / total
                    ge[k, 0] = g * (j + 0.5)
                    ge[k, 1] = g * (i + 0.5)
                    ge[k, 2] = g
                # edge_m = h_a x h_b passes h_b x g to h_a and g x h_a to h_b
                for k in range(3):
                    p, n, m = faces[sample, f, k], (k + 1) % 3, (k + 2) % 3
                    # corner k comes first in edge m, and second in edge n
                    for x in range(3):
                        y, w = (x + 1) % 3, (x + 2) % 3
                        g = h[n, y] * ge[m, w] - h[n, w] * ge[m, y]
                        g += ge[n, y] * h[m, w] - ge[n, w] * h[m, y]
                        if x < 2 or perspective:
                            grad_points[s, p, x] += g


class _Interpolate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, points, features, faces, index, feature_rows, perspective, dtype):
        pictures = len(points)
        depth = torch.zeros(index.shape, dtype=dtype)
        bary = torch.zeros(*index.shape, 3, dtype=dtype)
        rendered = features.new_zeros(*index.shape, features.shape[2])
        ctx.settings = (pictures // len(faces), perspective)
        inputs = (points, faces, index, features, feature_rows)
        ctx.save_for_backward(*inputs)
        arrays = _arrays(*inputs, depth, bary, rendered)
        _in_threads(_interpolate, pictures, *ctx.settings, *arrays)
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
        arrays = _arrays(
            *ctx.saved_tensors, grad_depth, grad_bary, grad_rendered, grad_points, grad_features
        )
        _in_threads(_interpolate_backward, len(points), *ctx.settings, *arrays)
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
    index = torch.full((pictures, *image_size), -1)
    points_, faces_, facing_, index_ = _arrays(points, faces, facing, index)
    _in_threads(
        _find, pictures, pictures // max(len(faces), 1), points_, faces_, perspective, near, far,
        facing_, index_,
    )  # fmt: skip
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
