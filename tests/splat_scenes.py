"""Clouds and cameras for the tests of the point renderer."""

from __future__ import annotations

import torch

from mm3dpretrain.structures import Cameras

FAST = ['numba', 'torch']


def front_camera(size=(9, 9), focal=9.0, projection='perspective', centre=None) -> Cameras:
    """One camera at the world origin with the world's axes: x right, y down, z forward."""
    cx, cy = centre or (size[1] / 2, size[0] / 2)
    intrinsics = torch.tensor([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]])[None, None]
    return Cameras(torch.eye(4)[None, None], intrinsics, size, projection)


def cloud(*points) -> torch.Tensor:
    return torch.tensor([points], dtype=torch.float32)


def random_scene(seed=0, batch=2, num=12, dtype=torch.double):
    generator = torch.Generator().manual_seed(seed)
    points = 0.4 * torch.randn(batch, num, 3, generator=generator, dtype=dtype)
    features = torch.rand(batch, num, 2, generator=generator, dtype=dtype)
    return points.requires_grad_(), features.requires_grad_()


def sphere(num=1024, seed=0, batch=1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(batch, num, 3, generator=generator), dim=-1)


def chamfer(a: torch.Tensor, b: torch.Tensor) -> float:
    distance = torch.cdist(a, b)
    return (distance.min(1).values.mean() + distance.min(2).values.mean()).item()
