"""Splatting as its definition reads: loops over pixels and points. It decides what is right."""

from __future__ import annotations

import torch
from torch import Tensor

from .splat_torch import FRONT_WEIGHT, kernel_weight


def splat_naive(
    uv: Tensor,
    z: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    features: Tensor | None,
    image_size: tuple[int, int],
    kernel: str,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """See :func:`mm3dpretrain.models.renderers.splat_torch.splat_torch`. For tiny pictures."""
    (num_pictures, num_points), (height, width) = z.shape, image_size
    channels = 0 if features is None else features.shape[-1]
    background = (z.new_zeros(()), z.new_zeros(()), -1, z.new_zeros(channels))
    pixels = []
    for s in range(num_pictures):
        values = z.new_zeros(num_points, 0)
        if features is not None:
            values = features[s // (num_pictures // len(features))]
        for i in range(height):
            for j in range(width):
                covering = {}  # point -> weight
                for k in range(num_points):
                    offset = torch.stack([j + 0.5 - uv[s, k, 0], i + 0.5 - uv[s, k, 1]])
                    q = (offset * inv_radius[s, k]).square().sum()
                    if valid[s, k] and q < 1:
                        covering[k] = kernel_weight(kernel, q)
                if not covering:
                    pixels.append(background)
                    continue
                front = min(covering, key=lambda k: (z[s, k].item(), k))
                blend = {}
                for k, weight in covering.items():
                    behind = z[s, k] - z[s, front]
                    if k == front:
                        blend[k] = weight + FRONT_WEIGHT
                    elif behind < tolerance:
                        blend[k] = weight * (1 - behind / tolerance)
                total = sum(blend.values())
                pixels.append(
                    (
                        sum(b * z[s, k] for k, b in blend.items()) / total,
                        sum(covering.values()).clamp(max=1),
                        front,
                        sum(b * values[k] for k, b in blend.items()) / total,
                    )
                )
    depth, mask, index, rendered = zip(*pixels)
    shape = (num_pictures, height, width)
    rendered = torch.stack(rendered).reshape(*shape, channels).permute(0, 3, 1, 2)
    return (
        torch.stack(depth).reshape(shape),
        torch.stack(mask).reshape(shape),
        torch.tensor(index).reshape(shape),
        None if features is None else rendered,
    )


def winners_naive(
    uv: Tensor,
    inv_radius: Tensor,
    valid: Tensor,
    values: Tensor,
    background: Tensor,
    kernel: str,
) -> tuple[Tensor, Tensor]:
    """See :func:`mm3dpretrain.models.renderers.splat_torch.winners_torch`. For tiny pictures."""
    winner = torch.full(background.shape, -1, dtype=torch.int32)
    image = background.clone(memory_format=torch.contiguous_format)
    for s, c, i, j in torch.cartesian_prod(*(torch.arange(n) for n in winner.shape)).tolist():
        for k in range(uv.shape[1]):
            offset = torch.stack([j + 0.5 - uv[s, k, 0], i + 0.5 - uv[s, k, 1]])
            q = (offset * inv_radius[s, k]).square().sum()
            if valid[s, k] and q < 1:
                product = kernel_weight(kernel, q) * values[s // (len(uv) // len(values)), k, c]
                if product > image[s, c, i, j]:
                    image[s, c, i, j], winner[s, c, i, j] = product, k
    return image, winner
