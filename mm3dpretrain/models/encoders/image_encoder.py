"""Encoders of RGB and depth images, made from other packages' networks."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.compat import load_checkpoint, require
from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """Feature map of a network from timm, convolutional or transformer.

    Args:
        model_name: name that timm knows, such as 'resnet50' or 'vit_small_patch16_224'.
        pretrained: let timm fetch its weights; needs a network connection.
        checkpoint: local weights of that network instead (``.pth``, ``.safetensors``); its
            classifier is ignored.
        model_args: further arguments of ``timm.create_model``, such as ``dict(img_size=128)``.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ImportError: if timm is not installed.
        ValueError: if timm does not know the name, or both sources of weights are given.
        FileNotFoundError: if the checkpoint does not exist.
        RuntimeError: if the checkpoint lacks weights of the network.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool = False,
        checkpoint: str | None = None,
        model_args: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        timm = require('timm', why='TimmBackbone')
        if not timm.is_model(model_name):
            close = timm.list_models(f'*{model_name.split("_")[0]}*')[:8]
            raise ValueError(f'timm has no model {model_name!r}; similar ones: {close}')
        if pretrained and checkpoint:
            raise ValueError(f'give either pretrained=True or checkpoint={checkpoint!r}, not both')
        self.model = timm.create_model(
            model_name, pretrained=pretrained, num_classes=0, **(model_args or {})
        )
        self.out_channels = self.model.num_features
        if checkpoint:
            self._load(Path(checkpoint))

    def _load(self, path: Path) -> None:
        if path.suffix == '.safetensors':
            if not path.is_file():
                raise FileNotFoundError(f'checkpoint {str(path)!r} does not exist')
            state = require('safetensors.torch', why='this checkpoint').load_file(path)
        else:
            state = load_checkpoint(path, map_location='cpu')
            state = state.get('state_dict', state.get('model', state))
        missing, _ = self.model.load_state_dict(state, strict=False)
        if missing:
            raise RuntimeError(
                f'{str(path)!r} lacks {len(missing)} weights of this network, e.g. {missing[:5]}'
            )

    def forward(self, img: Tensor) -> Tensor:
        """Images (B, 3, H, W) to the last feature map (B, out_channels, h, w).

        Raises:
            ValueError: if the tokens of a transformer do not form a square.
        """
        x = self.model.forward_features(img)
        if x.dim() == 4:
            channels_last = getattr(self.model, 'output_fmt', 'NCHW') == 'NHWC'
            return x.permute(0, 3, 1, 2) if channels_last else x
        x = x[:, getattr(self.model, 'num_prefix_tokens', 0) :]
        side = round(x.shape[1] ** 0.5)
        if side * side != x.shape[1]:
            raise ValueError(f'{x.shape[1]} patch tokens form no square map: use square images')
        return x.transpose(1, 2).reshape(x.shape[0], -1, side, side)


@MODELS.register_module()
class ImageEncoder(BaseModule):
    """One feature per RGB or depth image, and the map that it is the mean of.

    Examples::

        dict(type='ImageEncoder', out_channels=2048,
             backbone=dict(type='mmdet.ResNet', depth=50, norm_cfg=dict(type='BN')))
        dict(type='ImageEncoder',
             backbone=dict(type='TimmBackbone', model_name='vit_small_patch16_224'))

    Args:
        backbone: network from (B, 3, H, W) to a map (B, C, h, w) or several of them, of which the
            last counts.
        out_channels: C; may be left out where the backbone has an attribute of that name.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ImportError: if the backbone's package is not installed.
        ValueError: if out_channels is neither given nor known.
    """

    def __init__(
        self,
        backbone: dict,
        out_channels: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        scope, dot, _ = str(backbone.get('type')).rpartition('.')
        if dot and MODELS.get(backbone['type']) is None:
            # the registry alone would only say that it does not know the name
            require(f'{scope}.models', why=f'the backbone {backbone["type"]!r}')
        self.backbone: nn.Module = MODELS.build(backbone)
        if out_channels is None:
            out_channels = getattr(self.backbone, 'out_channels', None)
        if out_channels is None:
            raise ValueError(
                f'{backbone["type"]!r} does not tell its output channels: set out_channels of '
                'ImageEncoder (2048 for ResNet-50, 512 for ResNet-18)'
            )
        self.out_channels = out_channels

    def forward(self, img: Tensor) -> dict[str, Tensor]:
        """Encode images.

        Args:
            img: (B, 3, H, W) RGB as normalised by the data preprocessor, or (B, 1, H, W) depth,
                whose channel is repeated three times.

        Returns:
            ``global`` (B, C) and ``map`` (B, C, h, w).

        Raises:
            ValueError: for another shape, or a backbone with other output channels than announced.
        """
        if img.dim() != 4 or img.shape[1] not in (1, 3):
            raise ValueError(f'images must be (B, 3, H, W) or (B, 1, H, W), got {tuple(img.shape)}')
        features = self.backbone(img.expand(-1, 3, -1, -1))
        if not isinstance(features, torch.Tensor):
            features = features[-1]
        if features.shape[1] != self.out_channels:
            raise ValueError(
                f'the backbone returns {features.shape[1]} channels, out_channels says '
                f'{self.out_channels}'
            )
        return {'global': features.mean(dim=(2, 3)), 'map': features}
