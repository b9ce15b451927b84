"""Small MLPs in front of a contrastive loss."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

ACTIVATIONS = {'relu': nn.ReLU, 'gelu': nn.GELU}


@MODELS.register_module()
class ProjectionHead(BaseModule):
    """Linear, optional batch norm, activation, Linear.

    CrossPoint's image head: ``ProjectionHead(2048, 512, 256, bias=False)``. Point-BERT's head of
    the momentum contrast: ``ProjectionHead(384, 512, 512, norm=False, activation='gelu')``.

    Args:
        in_channels: channels that come in.
        hidden_channels: channels between the layers.
        out_channels: channels of the contrast space.
        norm: whether a batch norm follows the first layer.
        activation: 'relu' or 'gelu'.
        bias: whether the linear layers have a bias.
        normalize: whether the output is scaled to unit length; leave it off where the loss does so.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for an unknown activation.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        norm: bool = True,
        activation: str = 'relu',
        bias: bool = True,
        normalize: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if activation not in ACTIVATIONS:
            raise ValueError(f'activation must be one of {list(ACTIVATIONS)}, got {activation!r}')
        self.out_channels = out_channels
        self.normalize = normalize
        self.fc1 = nn.Linear(in_channels, hidden_channels, bias=bias)
        self.norm = nn.BatchNorm1d(hidden_channels) if norm else nn.Identity()
        self.act = ACTIVATIONS[activation]()
        self.fc2 = nn.Linear(hidden_channels, out_channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels) to (B, out_channels), of unit length with ``normalize``."""
        x = self.fc2(self.act(self.norm(self.fc1(x))))
        return F.normalize(x, dim=-1) if self.normalize else x
