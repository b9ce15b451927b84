"""SpareNet's depth renderer, with its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mm3dpretrain.registry import RENDERERS
from mm3dpretrain.structures import Cameras

from .base import RenderOutput
from .point_splat import PointSplatRenderer


@dataclass(eq=False)
class SpareNetOutput(RenderOutput):
    """Maps of V views with R radii each: V R pictures, the radii of a view side by side.

    Attributes:
        picture: (B, V R, H, W) in [0, 1], SpareNet's depth map: the nearest point of the batch is
            1, the farthest one and the background are 0.
    """

    picture: Tensor | None = None


@RENDERERS.register_module()
class SpareNetDepthRenderer(PointSplatRenderer):
    """The point renderer of SpareNet (arXiv 2103.02535), DR-Point's likely one.

    Maximum compositing with a cosine kernel of ``weight x nearness``, one picture for each radius.
    Unlike our own renderers it measures nearness between the nearest and the farthest point **of
    the whole batch** in each view, so that the samples of a batch influence each other's pictures
    and gradients flow through the two extremes:

        picture = max_k w_k (1 - (d_k - min d) / (max d - min d))

    with ``d = z`` for orthographic cameras and ``d = -1 / z`` for perspective ones (the depth of
    a projection matrix, which is not linear in z). If all points have one depth, their nearness
    is 1; the original divides by zero there.

    The cameras of the original are :class:`SpareNetViews`. DRPoint with both, in one line::

        _base_ = ['../_base_/models/drpoint_pointtransformer_sparenet-renderer.py']

    Args:
        radii: in pixels.
        near, far: points outside are culled. The original culls nothing; its clouds lie between
            depths of 0.1 and 10 anyway.
        backend: see PointSplatRenderer.

    Raises:
        ValueError: for no radius, or impossible settings.
    """

    def __init__(
        self,
        radii: Sequence[float] = (5.0, 7.0, 10.0),
        near: float = 0.1,
        far: float = 10.0,
        backend: str = 'auto',
    ) -> None:
        if len(radii) == 0:
            raise ValueError('radii must name at least one radius in pixels')
        for radius in radii:
            super().__init__(radius=radius, near=near, far=far, backend=backend, compositing='max')
        self.radii = tuple(float(r) for r in radii)

    def extra_repr(self) -> str:
        return f'radii={self.radii}, near={self.near:g}, far={self.far:g}'

    def _compose(
        self, uv: Tensor, z: Tensor, valid: Tensor, features: Tensor | None, cameras: Cameras
    ) -> SpareNetOutput:
        nearness = _nearness_in_batch(z if cameras.projection == 'orthographic' else -1 / z, valid)
        outputs = []
        for radius in self.radii:
            inv_radius = torch.full_like(uv, 1 / radius)
            outputs.append(
                self._maximum(nearness, uv, z, inv_radius, valid, features, cameras.image_size)
            )
        depth, mask, index = (
            torch.stack([getattr(o, name) for o in outputs], 2).flatten(1, 2)
            for name in ('depth', 'mask', 'index')
        )
        if features is not None:
            features = torch.stack([o.features for o in outputs], 2).flatten(1, 2)
        # nearness of the winner of each picture
        won = nearness.repeat_interleave(len(self.radii), 1)
        if won.shape[-1]:
            won = won.gather(2, index.clamp(min=0).flatten(2)).view_as(index)
        else:
            won = torch.zeros_like(mask)
        return SpareNetOutput(
            depth=depth, mask=mask, index=index, features=features, picture=mask * won
        )

    def depth_image(self, output: SpareNetOutput) -> Tensor:
        """SpareNet's depth maps, (B, V R, H, W) in [0, 1]; R = 3 radii by default."""
        return output.picture


def _nearness_in_batch(depth: Tensor, valid: Tensor) -> Tensor:
    """1 at the smallest and 0 at the largest depth (B, V, N) of each view, over all samples."""
    if depth.numel() == 0:
        return depth
    infinity = torch.full_like(depth, float('inf'))
    near = torch.where(valid, depth, infinity).amin((0, 2), keepdim=True)
    far = torch.where(valid, depth, -infinity).amax((0, 2), keepdim=True)
    extent = far - near
    extent = torch.where(extent > 0, extent, torch.ones_like(extent))
    return torch.where(valid, 1 - (depth - near) / extent, torch.zeros_like(depth))
