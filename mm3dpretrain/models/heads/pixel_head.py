"""From projected point features to the width of a teacher."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class PixelHead(BaseModule):
    """A linear map of every pixel, or an MLP with one hidden layer.

    Args:
        in_channels: of the projected features.
        out_channels: of the teacher's level.
        hidden_channels: of the layer between, followed by GELU; None: there is none.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if hidden_channels is None:
            self.layers: nn.Module = nn.Linear(in_channels, out_channels)
        else:
            self.layers = nn.Sequential(
                nn.Linear(in_channels, hidden_channels),
                nn.GELU(),
                nn.Linear(hidden_channels, out_channels),
            )

    def forward(self, maps: Tensor) -> Tensor:
        """(..., in_channels, h, w) to (..., out_channels, h, w)."""
        return self.layers(maps.movedim(-3, -1)).movedim(-1, -3)
