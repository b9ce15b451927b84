"""Chamfer distance as a loss."""

from __future__ import annotations

from torch import Tensor, nn

from mm3dpretrain import ops
from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class ChamferLoss(nn.Module):
    """Chamfer distance between a reconstruction and its target.

    ``norm='l2'``: mean squared distance to the nearest point, both directions added (Point-MAE,
    "CD-L2"). ``norm='l1'``: mean Euclidean distance, the two directions averaged ("CD-L1").

    Args:
        norm: 'l2' or 'l1'.
        per_patch: compare patch by patch instead of the whole cloud.

    Raises:
        ValueError: for another norm.
    """

    def __init__(self, norm: str = 'l2', per_patch: bool = False) -> None:
        super().__init__()
        if norm not in ('l1', 'l2'):
            raise ValueError(f"norm must be 'l1' or 'l2', got {norm!r}")
        self.norm = norm
        self.per_patch = per_patch

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss between two clouds; gradients reach both.

        Args:
            prediction: (B, N, 3).
            target: (B, M, 3).

        Returns:
            Scalar, in squared scene units ('l2') or scene units ('l1').
        """
        loss = ops.chamfer_distance(prediction.float(), target.float(), sqrt=self.norm == 'l1')
        return loss / 2 if self.norm == 'l1' else loss
