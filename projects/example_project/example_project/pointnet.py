"""An encoder from outside the package."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class TinyPointNet(BaseModule):
    """A shared MLP over the points and a maximum (PointNet without its input transforms).

    Args:
        in_channels: channels of a point, coordinates first.
        out_channels: channels of the global feature.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 128, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, 64),
            nn.LayerNorm(64),
            nn.ReLU(),
            nn.Linear(64, out_channels),
        )

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds (B, N, in_channels) into ``global`` (B, out_channels)."""
        return {'global': self.mlp(points).amax(1)}
