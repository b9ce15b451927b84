"""Mesh rendering as its definition reads: every ray against every face. It decides what is right.

For tiny pictures of few faces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .silhouette import SoftSilhouette


def _hits(corners: Tensor, u: Tensor, v: Tensor, perspective: bool) -> tuple[Tensor, Tensor]:
    """Depth (N,) and barycentric weights (N, 3) where rays meet the planes of faces.

    Möller and Trumbore, "Fast, Minimum Storage Ray/Triangle Intersection" (1997), in the space of
    ``(w u, w v, z)``: the ray of a perspective pixel is ``t (u, v, 1)``, that of an orthographic
    one ``(u, v, 0) + t (0, 0, 1)``. Faces seen edge-on give values that are not finite.

    Args:
        corners: (N, 3, 3).
        u, v: (N,) pixel centres.
    """
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    if perspective:
        origin, direction = torch.stack([zero, zero, zero], -1), torch.stack([u, v, one], -1)
    else:
        origin, direction = torch.stack([u, v, zero], -1), torch.stack([zero, zero, one], -1)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    offset = origin - corners[:, 0]
    p, q = torch.cross(direction, second, dim=-1), torch.cross(offset, first, dim=-1)
    det = (first * p).sum(-1)
    b1, b2 = (offset * p).sum(-1) / det, (direction * q).sum(-1) / det
    return (second * q).sum(-1) / det, torch.stack([1 - b1 - b2, b1, b2], -1)


def _drawn(corners: Tensor, perspective: bool, facing: Tensor) -> Tensor:
    """Bool (F,): faces that have an area in the picture, and show the right side."""
    z = corners[:, :, 2:]
    h = torch.cat([corners[:, :, :2], z if perspective else torch.ones_like(z)], -1)
    det = torch.linalg.det(h)
    # by Hadamard, the product of the lengths bounds it: below, it is nothing but rounding
    return (det.abs() > 1e-14 * h.norm(dim=-1).prod(-1)) & (det * facing >= 0)


@torch.no_grad()
def find_faces_naive(
    points: Tensor,
    faces: Tensor,
    image_size: tuple[int, int],
    perspective: bool,
    near: float,
    far: float,
    facing: Tensor,
) -> Tensor:
    """See :func:`mm3dpretrain.models.renderers.mesh_torch.find_faces`."""
    height, width = image_size
    index = torch.full((len(points), height, width), -1, device=points.device)
    for s in range(len(points)):
        triangles = faces[s * len(faces) // len(points)]
        real = torch.nonzero(triangles[:, 0] >= 0)[:, 0]
        corners = points[s][triangles[real]]
        real = real[_drawn(corners, perspective, facing[s])]
        corners = points[s][triangles[real]]
        for i in range(height):
            for j in range(width):
                centre = points.new_tensor([j + 0.5, i + 0.5]).expand(len(corners), 2)
                depth, bary = _hits(corners, *centre.unbind(-1), perspective)
                seen = (bary >= 0).all(-1) & (depth >= near) & (depth <= far)
                if bool(seen.any()):
                    nearest = depth[seen].min()
                    index[s, i, j] = real[seen & (depth == nearest)][0]
    return index


def interpolate_naive(
    points: Tensor,
    faces: Tensor,
    index: Tensor,
    perspective: bool,
    features: Tensor,
    feature_rows: Tensor,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`mm3dpretrain.models.renderers.mesh_torch.interpolate_torch`."""
    pictures, height, width = index.shape
    depth, bary, rendered = [], [], []
    for s in range(pictures):
        sample = s * len(faces) // pictures
        for i in range(height):
            for j in range(width):
                f = int(index[s, i, j])
                if f < 0:
                    depth.append(0 * points.sum())  # keeps the graph, also of empty pictures
                    bary.append(points.new_zeros(3))
                    rendered.append(features.new_zeros(features.shape[2]))
                    continue
                u, v = points.new_tensor([[j + 0.5], [i + 0.5]])
                t, weights = _hits(points[s][faces[sample, f]][None], u, v, perspective)
                depth.append(t[0])
                bary.append(weights[0])
                values = features[sample][feature_rows[sample, f]]
                rendered.append((weights[0].to(values.dtype)[:, None] * values).sum(0))
    return (
        torch.stack(depth).reshape(index.shape).to(dtype),
        torch.stack(bary).reshape(*index.shape, 3).to(dtype),
        torch.stack(rendered).reshape(*index.shape, -1).permute(0, 3, 1, 2),
    )


def _segment_distance2(pixel: Tensor, a: Tensor, b: Tensor) -> Tensor:
    length2 = (b - a).square().sum()
    if length2 > 0:
        t = ((pixel - a) * (b - a)).sum() / length2
        if 0 < t < 1:
            return (pixel - a - t * (b - a)).square().sum()
    return torch.minimum((pixel - a).square().sum(), (pixel - b).square().sum())


def soft_mask_naive(
    image: Tensor,
    points: Tensor,
    faces: Tensor,
    index: Tensor,
    inside: Tensor,
    perspective: bool,
    facing: Tensor,
    settings: SoftSilhouette,
) -> Tensor:
    """See :func:`mm3dpretrain.models.renderers.silhouette.soft_mask_torch`."""
    pictures, height, width = index.shape
    mask = []
    for s in range(pictures):
        triangles = faces[s * len(faces) // pictures]
        real = triangles[:, 0] >= 0
        drawn = real & _drawn(points[s][triangles.clamp(min=0)], perspective, facing[s])
        drawn &= inside[s][triangles.clamp(min=0)].all(1)
        corners = [image[s][triangle] for triangle in triangles[drawn]]
        for i in range(height):
            for j in range(width):
                pixel = image.new_tensor([(j + 0.5) * 2 / width, (i + 0.5) * 2 / height])
                clear, count = image.new_ones(()), 0
                for triangle in corners:
                    low, high = triangle.amin(0) - settings.boxlen, triangle.amax(0)
                    reached = bool(((pixel >= low) & (pixel <= high + settings.boxlen)).all())
                    if not reached or count == settings.knum:
                        continue
                    count += 1
                    distance2 = torch.stack(
                        [
                            _segment_distance2(pixel, triangle[k], triangle[(k + 1) % 3])
                            for k in range(3)
                        ]
                    ).min()
                    clear = clear * (1 - torch.exp(-settings.sigmainv * distance2))
                mask.append(image.new_ones(()) if index[s, i, j] >= 0 else 1 - clear)
    return torch.stack(mask).reshape(index.shape)
