"""Distance between depth pictures of two clouds."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS


def normalize_depth(depth: Tensor, mask: Tensor, near: float, far: float) -> Tensor:
    """Inverse depth picture: 1 at the near plane, 0 at the far plane and in the background.

    The planes are fixed numbers, so that samples do not influence each other. ``mask`` is the soft
    coverage; multiplied in, it lets gradients reach the positions across the picture.

    Args:
        depth: (..., H, W) along z, scene units; 0 is background.
        mask: (..., H, W) in [0, 1].
        near: distance of the near plane.
        far: distance of the far plane, > near.

    Returns:
        (..., H, W) in [0, 1].

    Raises:
        ValueError: if far <= near.
    """
    if far <= near:
        raise ValueError(f'far must be beyond near, got near={near}, far={far}')
    value = ((far - depth) / (far - near)).clamp(0.0, 1.0)
    return torch.where(mask > 0, mask * value, torch.zeros_like(value))


@MODELS.register_module()
class DepthRenderLoss(nn.Module):
    """Mean pixel distance of two normalised depth pictures (L_DR of DR-Point).

    The norm is not known from the paper; 'l1' is this toolbox's default.

    Args:
        norm: 'l1', 'l2' or 'smooth_l1'.

    Raises:
        ValueError: for another norm.
    """

    def __init__(self, norm: str = 'l1') -> None:
        super().__init__()
        distances = dict(l1=F.l1_loss, l2=F.mse_loss, smooth_l1=F.smooth_l1_loss)
        if norm not in distances:
            raise ValueError(f'norm must be one of {sorted(distances)}, got {norm!r}')
        self.distance = distances[norm]

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of two pictures (B, V, H, W) in [0, 1]; the target gets no gradient; scalar."""
        return self.distance(prediction.float(), target.detach().float())
