"""A renderer from outside the package."""

from __future__ import annotations

import torch
from torch import Tensor

from mm3dpretrain.models.renderers import BaseRenderer, RenderOutput
from mm3dpretrain.registry import RENDERERS
from mm3dpretrain.structures import Cameras


@RENDERERS.register_module()
class NearestPixelRenderer(BaseRenderer):
    """Every point fills the one pixel that it falls into; the nearest point wins.

    Depth and features are differentiable, positions across the picture are not.

    Args:
        near, far: points outside are not drawn; scene units along z.
    """

    def __init__(self, near: float = 0.5, far: float = 3.5) -> None:
        super().__init__(near, far)

    def forward(
        self, geometry: Tensor, cameras: Cameras, features: Tensor | None = None
    ) -> RenderOutput:
        """Render clouds (B, N, 3), with features (B, N, C), into every camera."""
        batch, num = geometry.shape[:2]
        cameras = cameras.to(geometry).expand(batch)
        height, width = cameras.image_size
        uv, z = cameras.project(geometry)
        column, row = uv.detach().floor().long().unbind(-1)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        inside &= (z >= self.near) & (z <= self.far)
        # whatever is not drawn goes to one spare pixel behind the picture
        pixel = torch.where(inside, row * width + column, height * width)
        shape = (*z.shape[:2], height * width + 1)
        nearest = z.new_full(shape, float('inf')).scatter_reduce(2, pixel, z.detach(), 'amin')
        wins = inside & (z == nearest.gather(2, pixel))
        point = torch.arange(num, device=z.device).expand_as(pixel)
        index = pixel.new_full(shape, num).scatter_reduce(
            2, torch.where(wins, pixel, height * width), torch.where(wins, point, num), 'amin'
        )[..., :-1]
        hit = index < num
        source = index.clamp(max=num - 1)
        depth = torch.where(hit, z.gather(2, source), 0.0)
        maps = None
        if features is not None:
            spread = features[:, None].expand(-1, shape[1], -1, -1)
            maps = spread.gather(2, source[..., None].expand(-1, -1, -1, features.shape[-1]))
            maps = torch.where(hit[..., None], maps, 0.0).transpose(2, 3)
            maps = maps.unflatten(-1, (height, width))
        size = (*z.shape[:2], height, width)
        return RenderOutput(
            depth=depth.view(size),
            mask=hit.to(z.dtype).view(size),
            index=torch.where(hit, index, -1).view(size),
            features=maps,
        )
