"""Small hand-made batches for MVNet: a wall and a box in front of it, seen by two cameras."""

from __future__ import annotations

import math

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.models.encoders import ImageTeacher
from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import Cameras

H, W, FOCAL = 24, 32, 28.0


@MODELS.register_module()
class PerPointEncoder(BaseModule):
    """Every point by itself, with two levels: features of a subset, and of all points."""

    def __init__(self, in_channels: int = 6, embed_dim: int = 8, coarse: int = 4) -> None:
        super().__init__()
        self.in_channels, self.embed_dim = in_channels, embed_dim
        self.out_channels = embed_dim
        self.level_channels = (coarse, embed_dim)
        self.fine = nn.Sequential(nn.Linear(in_channels, embed_dim), nn.Tanh())
        self.coarse = nn.Linear(in_channels, coarse)

    def forward(self, points: Tensor) -> dict:
        xyz, local = points[..., :3].contiguous(), self.fine(points)
        levels = [(xyz[:, ::5], self.coarse(points[:, ::5])), (xyz, local)]
        return {'xyz': xyz, 'local': local, 'global': local.amax(1), 'levels': levels}


@MODELS.register_module()
class ToyTeacher(ImageTeacher):
    """Maps at strides 4 and 8 of pictures padded to multiples of 8, from a seed."""

    def __init__(self, channels=(5, 6), seed: int = 0, weights: str | None = None) -> None:
        generator = torch.Generator().manual_seed(seed)
        network = nn.ModuleList(nn.Conv2d(3, c, s, s) for c, s in zip(channels, (4, 8)))
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        super().__init__(network, weights, channels, (4, 8)[: len(channels)], 8)

    def load(self) -> None:
        raise FileNotFoundError(f'{self.weights} does not exist')

    def maps(self, img: Tensor) -> list[Tensor]:
        return [layer(img) for layer in self.network]


def cameras(views: int = 2) -> tuple[Tensor, Tensor]:
    """Intrinsics (V, 3, 3) and extrinsics (V, 4, 4) along a line, looking at z = 3 from 0."""
    intrinsics = torch.tensor([[FOCAL, 0, W / 2], [0, FOCAL, H / 2], [0, 0, 1]])
    extrinsics = torch.eye(4).repeat(views, 1, 1)
    for v in range(views):
        angle = 0.08 * v
        c, s = math.cos(angle), math.sin(angle)
        extrinsics[v, :3, :3] = torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]])
        extrinsics[v, 0, 3] = -0.25 * v
    return intrinsics.expand(views, 3, 3).clone(), extrinsics


def batch(size: int = 2, views: int = 2, num: int = 600, queries: int = 12, seed: int = 0) -> dict:
    """A wall at z = 3 and a panel at z = 2 that hides a part of it; depth by a dense rendering."""
    g = torch.Generator().manual_seed(seed)
    wall = torch.cat(
        [4 * torch.rand(size, num, 2, generator=g) - 2, torch.full((size, num, 1), 3.0)], -1
    )
    front = num // 4
    wall[:, :front, :2] = wall[:, :front, :2] * 0.2
    wall[:, :front, 2] = 2.0
    points = torch.cat([wall, torch.rand(size, num, 3, generator=g)], -1)
    intrinsics, extrinsics = cameras(views)
    depth = torch.stack([_depth(intrinsics[v], extrinsics[v]) for v in range(views)])
    cam = Cameras(
        extrinsics.expand(size, -1, -1, -1).clone(),
        intrinsics.expand(size, -1, -1, -1).clone(),
        (H, W),
    )
    uv, z = cam.project(points[..., :3])
    chosen = torch.randint(num, (size, queries), generator=g)
    at = uv.gather(2, chosen[:, None, :, None].expand(-1, views, -1, 2))
    partner = at.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)
    inside = ((at >= 0) & (at < torch.tensor([W, H]))).all(-1)
    valid = inside & inside.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)
    return dict(
        points=points,
        img=torch.randn(size, views, 3, H, W, generator=g),
        depth=depth.expand(size, -1, -1, -1).clone(),
        intrinsics=cam.intrinsics,
        extrinsics=cam.extrinsics,
        queries=at,
        targets=partner,
        query_valid=valid,
    )


def _depth(intrinsics: Tensor, extrinsics: Tensor) -> Tensor:
    """Depth (H, W) of wall and panel by intersecting the rays of the pixel centres."""
    v, u = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing='ij')
    rays = torch.stack([u, v, torch.ones_like(u)], -1) @ torch.inverse(intrinsics).T
    rotation, center = extrinsics[:3, :3], -extrinsics[:3, :3].T @ extrinsics[:3, 3]
    world = rays @ rotation
    depth = (3 - center[2]) / world[..., 2]
    near = (2 - center[2]) / world[..., 2]
    on = center + near[..., None] * world
    return torch.where((on[..., :2].abs() <= 0.4).all(-1), near, depth)
