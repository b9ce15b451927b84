"""Decoder from image features to a depth map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS


class UpsampleBlock(BaseModule):
    """Resize to a finer map, put it beside that map, two 3 x 3 convolutions."""

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict | None) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            ConvModule(in_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg),
            ConvModule(out_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, C, h, w) and (B, C', H, W) to (B, out_channels, H, W)."""
        coarse = F.interpolate(coarse, fine.shape[-2:], mode='bilinear', align_corners=True)
        return self.convs(torch.cat([coarse, fine], dim=1))


@MODELS.register_module()
class DenseDepthDecoder(BaseModule):
    """The decoder of DenseDepth (Alhashim and Wonka, 2018), with skip connections from each map.

    Layers and widths follow the public depth toolbox whose ResNet-50 results are quoted for
    SimIPU: a 1 x 1 convolution of the coarsest map; at every finer one bilinear upsampling,
    concatenation and two 3 x 3 convolutions with ReLU; a 3 x 3 convolution to one channel, whose
    sigmoid spans the range of depths. The map has the size of the finest feature map.

    Args:
        in_channels: of the feature maps, finest first.
        channels: of the decoder at each of them, finest first.
        min_depth, max_depth: range of the result in metres. (The toolbox has 0 to ``max_depth``,
            where a saturated sigmoid has no logarithm.)
        norm_cfg: norm behind the 3 x 3 convolutions, such as ``dict(type='BN')``; the reference
            has none.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for lists of different length or fewer than two maps, or an empty range.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: Sequence[int],
        min_depth: float = 1e-3,
        max_depth: float = 80.0,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != len(channels) or len(channels) < 2:
            raise ValueError(
                'in_channels and channels need one number for each of at least 2 maps, got '
                f'{list(in_channels)} and {list(channels)}'
            )
        if not 0 < min_depth < max_depth:
            raise ValueError(f'need 0 < min_depth < max_depth, got {min_depth} and {max_depth}')
        self.in_channels = tuple(in_channels)
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.project = nn.Conv2d(in_channels[-1], channels[-1], 1)
        # coarsest first, as they are run
        self.blocks = nn.ModuleList(
            UpsampleBlock(in_channels[i] + channels[i + 1], channels[i], norm_cfg)
            for i in reversed(range(len(channels) - 1))
        )
        self.predict = nn.Conv2d(channels[0], 1, 3, padding=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Depth.

        Args:
            maps: (B, in_channels[i], H_i, W_i), finest first.

        Returns:
            (B, H_0, W_0) in metres, float32.

        Raises:
            ValueError: if the maps are not those that the decoder was made for.
        """
        widths = tuple(m.shape[1] for m in maps)
        if widths != self.in_channels:
            raise ValueError(
                f'the backbone gives maps of {widths} channels, in_channels of the decoder is '
                f'{self.in_channels}: list all maps, the stem among them, finest first'
            )
        *finer, coarsest = maps
        x = self.project(coarsest)
        for block, fine in zip(self.blocks, reversed(finer)):
            x = block(x, fine)
        share = self.predict(x).squeeze(1).float().sigmoid()
        return self.min_depth + (self.max_depth - self.min_depth) * share
