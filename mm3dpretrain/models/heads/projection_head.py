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


@MODELS.register_module()
class ProjectionMLP(BaseModule):
    """SimSiam's projection MLP (Sec. 3): Linear and batch norm, with ReLU between the layers.

    SimIPU's head of the image features is ``ProjectionMLP(2048, 2048, 128)``.

    Args:
        in_channels: channels that come in.
        hidden_channels: channels between the layers.
        out_channels: channels of the contrast space.
        num_layers: at least 1; all end in a batch norm, the last one without ReLU.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for no layer.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 3,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_layers < 1:
            raise ValueError(f'num_layers must be at least 1, got {num_layers}')
        self.out_channels = out_channels
        widths = [in_channels] + [hidden_channels] * (num_layers - 1) + [out_channels]
        layers: list[nn.Module] = []
        for width, following in zip(widths, widths[1:]):
            layers += [nn.Linear(width, following), _BatchNorm(following), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(M, in_channels) to (M, out_channels), any M, also 0: then by the running statistics."""
        return self.layers(x)


class _BatchNorm(nn.BatchNorm1d):
    """Batch norm for a number of rows that depends on the data: fewer than two have no variance."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) < 2:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)
