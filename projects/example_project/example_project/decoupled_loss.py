"""A loss from outside the package."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class DecoupledContrastLoss(nn.Module):
    """Cross-modal InfoNCE without the positive pair in the denominator (decoupled contrast).

    Args:
        temperature: > 0.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scalar loss of corresponding rows of x and y, both (B, C), B >= 2.

        Raises:
            ValueError: if there is no other sample to contrast with.
        """
        if len(x) < 2:
            raise ValueError(f'contrast needs at least 2 samples, got {len(x)}')
        logits = F.normalize(x, dim=1) @ F.normalize(y, dim=1).T / self.temperature
        positive = logits.diagonal()
        own = torch.eye(len(x), dtype=torch.bool, device=x.device)
        negatives = logits.masked_fill(own, float('-inf'))
        return (negatives.logsumexp(1) + negatives.logsumexp(0) - 2 * positive).mean() / 2
