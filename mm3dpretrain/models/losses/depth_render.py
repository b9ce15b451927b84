"""Distance between depth pictures of two clouds."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class DepthRenderLoss(nn.Module):
    """Mean pixel distance of two depth pictures (L_DR of DR-Point).

    The pictures come from a renderer's ``depth_image``: values in [0, 1] between fixed planes, so
    that samples do not influence each other. The norm is not known from the paper; 'l1' is this
    toolbox's default.

    Args:
        norm: 'l1', 'l2' or 'smooth_l1'.

    Raises:
        ValueError: for another norm.
    """

    def __init__(self, norm: str = 'l1') -> None:
        super().__init__()
        distances = {'l1': F.l1_loss, 'l2': F.mse_loss, 'smooth_l1': F.smooth_l1_loss}
        if norm not in distances:
            raise ValueError(f'norm must be one of {sorted(distances)}, got {norm!r}')
        self.distance = distances[norm]

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of two pictures (B, V, H, W); the target gets no gradient; scalar."""
        return self.distance(prediction.float(), target.detach().float())
