"""Points of a patch, folded from a small grid."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class FoldingDecoder(BaseModule):
    """Coarse points from an MLP, then a 2 x 2 grid folded around each (after FoldingNet).

    Args:
        in_channels: channels of a patch.
        num_points: fine points per patch, divisible by 4; a quarter of them are coarse points.
        grid_size: side of the grid in the unit of the cloud.
        hidden_dims: widths of the MLP and of the folding network; Point-BERT's are the default.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: if num_points is not divisible by 4.
    """

    def __init__(
        self,
        in_channels: int = 256,
        num_points: int = 32,
        grid_size: float = 0.1,
        hidden_dims: tuple[int, int] = (1024, 512),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_points % 4:
            raise ValueError(f'num_points must be divisible by 4, got {num_points}')
        self.num_points = num_points
        wide, fold = hidden_dims
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, wide),
            nn.ReLU(inplace=True),
            nn.Linear(wide, wide),
            nn.ReLU(inplace=True),
            nn.Linear(wide, 3 * (num_points // 4)),
        )
        # the first layer reads [feature of the patch, grid, coarse point]
        self.fold = nn.Sequential(
            nn.Linear(in_channels + 5, fold),
            nn.BatchNorm1d(fold),
            nn.ReLU(inplace=True),
            nn.Linear(fold, fold),
            nn.BatchNorm1d(fold),
            nn.ReLU(inplace=True),
            nn.Linear(fold, 3),
        )
        half = grid_size / 2
        grid = torch.tensor([[-half, -half], [half, -half], [-half, half], [half, half]])
        self.register_buffer('grid', grid, persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct patches.

        Args:
            x: (B, G, in_channels).

        Returns:
            ``coarse`` (B, G, num_points / 4, 3) and ``fine`` (B, G, num_points, 3), relative to the
            centres of the patches, in the unit of the cloud.
        """
        batch, groups, channels = x.shape
        coarse = self.mlp(x).view(batch, groups, -1, 3)
        # the part of the first layer that is the same for all points of a patch is computed once
        linear = self.fold[0]
        shared = F.linear(x, linear.weight[:, :channels], linear.bias)[:, :, None, None]
        by_grid = F.linear(self.grid, linear.weight[:, channels : channels + 2])
        by_point = F.linear(coarse, linear.weight[:, channels + 2 :])[:, :, :, None]
        hidden = (shared + by_point + by_grid).view(-1, linear.out_features)
        offset = self.fold[1:](hidden).view(batch, groups, -1, 4, 3)
        fine = (offset + coarse[:, :, :, None]).flatten(2, 3)
        return coarse, fine
