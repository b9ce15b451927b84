"""Features of a cloud in its views, beside those of a 2D teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mm3dpretrain.structures import Cameras

from ..renderers.point_projector import PointProjector
from .feature_propagation import interpolate_features


class ProjectedPoints(NamedTuple):
    """Which view sees which point where.

    Attributes:
        uv: (B, V, N, 2) pixels.
        z: (B, V, N) depth.
        seen: bool (B, V, N).
        image_size: (H, W) of the pictures.
    """

    uv: Tensor
    z: Tensor
    seen: Tensor
    image_size: tuple[int, int]

    def maps(
        self,
        features: Tensor,
        projector: PointProjector,
        map_size: tuple[int, int],
        covered: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Features of points as maps: in every cell those of the nearest point that is seen.

        Args:
            features: (B, N, C).
            projector: of the points.
            map_size: (h, w).
            covered: (H', W'), the part of the plane that the map covers, from pixel (0, 0) on;
                default the picture. A padded picture is larger.

        Returns:
            (B, V, C, h, w), 0 where no point is seen, and bool (B, V, h, w), where one is.
        """
        covered = covered or self.image_size
        index = projector.pixel_index(self.uv, self.z, self.seen, covered, map_size)
        return projector.scatter(features, index)


@torch.no_grad()
def project_points(inputs: Mapping[str, Tensor], projector: PointProjector) -> ProjectedPoints:
    """Project the clouds of a batch into its views, with the depth test.

    Args:
        inputs: ``points`` (B, N, C), ``img`` (B, V, 3, H, W), ``depth`` (B, V, h, w),
            ``intrinsics`` and ``extrinsics``.
        projector: whose tolerance decides on what is hidden.
    """
    size = tuple(inputs['img'].shape[-2:])
    with torch.autocast(inputs['points'].device.type, enabled=False):
        cameras = Cameras(inputs['extrinsics'], inputs['intrinsics'], size)
        xyz = inputs['points'][..., :3]
        return ProjectedPoints(*projector.visible(xyz, cameras, inputs['depth']), size)


def carry_features(target: Tensor, levels: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
    """Features of the levels of an encoder at given points.

    Those of the points themselves where both are the same, else interpolated between the three
    nearest ones.

    Args:
        target: (B, N, 3).
        levels: (xyz (B, M_l, 3), features (B, M_l, C_l)) of each.

    Returns:
        (B, N, C_l) of each level.
    """
    found: list[Tensor | None] = [None] * len(levels)
    for k, (source, features) in enumerate(levels):
        if found[k] is not None:
            continue
        # levels that share their points share the search for neighbours
        same = [j for j in range(k, len(levels)) if levels[j][0] is source]
        features = torch.cat([levels[j][1] for j in same], dim=-1)
        if source.shape != target.shape or not torch.equal(source, target):
            features = interpolate_features(target.contiguous(), source.contiguous(), features)
        parts = features.split([levels[j][1].shape[-1] for j in same], dim=-1)
        for j, part in zip(same, parts):
            found[j] = part
    return tuple(found)


class TeacherView(NamedTuple):
    """One level of the teacher beside what the 3D features make of it.

    Attributes:
        projected: (B, V, C_l, h, w), from the 3D features through the head of the level.
        target: (B, V, C_l, h, w), from the teacher.
        mask: bool (B, V, h, w), where a point is seen.
    """

    projected: Tensor
    target: Tensor
    mask: Tensor


@torch.no_grad()
def teacher_similarity(levels: Sequence[TeacherView]) -> Tensor:
    """Mean cosine similarity of projected features and teacher where points are seen.

    Returns:
        (B, L), in [-1, 1]; NaN where a sample has no point that is seen.
    """
    means = []
    for level in levels:
        cosine = F.cosine_similarity(level.projected.float(), level.target.float(), dim=2)
        total = torch.where(level.mask, cosine, torch.zeros_like(cosine)).flatten(1).sum(1)
        means.append(total / level.mask.flatten(1).sum(1))
    return torch.stack(means, dim=-1)
