"""Teachers from the collections of public weights: timm and OpenCLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mm3dpretrain.compat import require
from mm3dpretrain.registry import MODELS

from .image_teachers import ImageTeacher
from .open_clip_models import check_model_name, is_file_name, read_weight_file, unknown_name


@MODELS.register_module()
class TimmTeacher(ImageTeacher):
    """A network of timm, convolutional or transformer: DINOv2, ResNet, ConvNeXt, ...

    MVNet's paper found DINOv2 the best of its teachers; in timm ViT-S, B and L of it are
    'vit_small_patch14_dinov2', 'vit_base_patch14_dinov2' and 'vit_large_patch14_dinov2'. Vision
    transformers take pictures of any size; the patch size decides on the padding.

    Args:
        model_name: as timm knows it; a tag such as '.lvd142m' chooses among its weights.
        weights: 'hub' lets timm fetch them when they are needed; a local file (``.pth``,
            ``.safetensors``) in timm's or the original naming; None leaves them at random.
        levels: indices of timm's intermediate features: blocks of a transformer, stages of a
            convolutional network (0: stride 2); negative ones count from the end.
        norm: apply the final norm of a transformer to all levels.
        model_args: further arguments of ``timm.create_model``.

    Raises:
        ImportError: if timm is not installed.
        ValueError: if timm does not know the name, or the levels.
    """

    def __init__(
        self,
        model_name: str,
        weights: str | None = 'hub',
        levels: Sequence[int] = (-1,),
        norm: bool = True,
        model_args: dict | None = None,
    ) -> None:
        timm = require('timm', why='TimmTeacher')
        if not timm.is_model(model_name.split('.')[0]):
            raise unknown_name('timm', model_name, timm.list_models())
        self.model_name, self.norm = model_name, norm
        self.model_args = dict(model_args or {})
        if 'vit' in model_name:
            self.model_args.setdefault('dynamic_img_size', True)
        network = timm.create_model(model_name, pretrained=False, num_classes=0, **self.model_args)
        infos = getattr(network, 'feature_info', None)
        infos = getattr(infos, 'info', infos)
        if not infos or not hasattr(network, 'forward_intermediates'):
            raise ValueError(f'{model_name!r} of timm does not give intermediate features')
        if any(not -len(infos) <= level < len(infos) for level in levels):
            raise ValueError(f'levels={tuple(levels)}, but {model_name!r} has {len(infos)} of them')
        self.levels = tuple(level % len(infos) for level in levels)
        strides = [infos[level]['reduction'] for level in self.levels]
        cfg = network.pretrained_cfg
        super().__init__(
            network,
            weights,
            [infos[level]['num_chs'] for level in self.levels],
            strides,
            max(strides),
            [255 * v for v in cfg['mean']],
            [255 * v for v in cfg['std']],
        )

    def load(self) -> None:
        """Fetch or read the weights.

        Raises:
            FileNotFoundError: if there is no such file.
            RuntimeError: if the hub cannot be reached, or the file does not fit the network.
        """
        from mm3dpretrain.apis.checkpoint import load_weights

        timm = require('timm', why='TimmTeacher')
        if self.weights == 'hub':
            try:
                fetched = timm.create_model(
                    self.model_name, pretrained=True, num_classes=0, **self.model_args
                )
            except Exception as error:  # whatever the hub's client raises
                raise RuntimeError(
                    f'timm could not fetch the weights of {self.model_name!r} ({error}): give a '
                    "local file as the teacher's weights"
                ) from error
            state = fetched.state_dict()
        else:
            state = read_weight_file(self.weights)
            # names of the original releases, and positions of another picture size
            state = _filtered(timm, self.network, state)
        load_weights(self.network, state, f'{self.weights} for {self.model_name}:')

    def maps(self, img: Tensor) -> list[Tensor]:
        """Intermediate features, channels first."""
        order = sorted(set(self.levels))
        found = self.network.forward_intermediates(
            img, indices=order, norm=self.norm, intermediates_only=True, output_fmt='NCHW'
        )
        return [found[order.index(level)] for level in self.levels]

    def describe(self) -> dict:
        """With the name and the levels."""
        return dict(
            super().describe(),
            model_name=self.model_name,
            levels=self.levels,
            norm=self.norm,
            model_args={k: str(v) for k, v in self.model_args.items()},
        )


@MODELS.register_module()
class OpenCLIPTeacher(ImageTeacher):
    """The image tower of an OpenCLIP model that is a vision transformer.

    Args:
        model_name: such as 'ViT-B-16'.
        weights: a tag of OpenCLIP's list, such as 'laion2b_s34b_b88k', which is fetched when it is
            needed; a local file; None leaves them at random.
        image_size: (H, W) of the pictures after padding to multiples of the patch size: the
            tower's positions are interpolated to it.
        levels: indices of its blocks; negative ones count from the end.

    Raises:
        ImportError: if OpenCLIP is not installed.
        ValueError: if OpenCLIP knows neither the name nor the weights, or the tower is no
            transformer.
    """

    def __init__(
        self,
        model_name: str,
        weights: str | None,
        image_size: tuple[int, int],
        levels: Sequence[int] = (-1,),
    ) -> None:
        clip = require('open_clip', 'clip', 'OpenCLIPTeacher')
        check_model_name(model_name, weights)
        self.model_name, self.image_size = model_name, tuple(image_size)
        network = self._create(clip, None)
        blocks = getattr(getattr(network, 'transformer', None), 'resblocks', None)
        if blocks is None:
            raise ValueError(f'{model_name!r}: only vision transformers of OpenCLIP are supported')
        if any(not -len(blocks) <= level < len(blocks) for level in levels):
            raise ValueError(f'levels={tuple(levels)}, but {model_name!r} has {len(blocks)} blocks')
        self.levels = tuple(level % len(blocks) for level in levels)
        patch = network.patch_size[0]
        if any(side % patch for side in self.image_size):
            raise ValueError(f'image_size={self.image_size} is no multiple of the patch, {patch}')
        width = network.transformer.width
        mean, std = clip.OPENAI_DATASET_MEAN, clip.OPENAI_DATASET_STD
        super().__init__(
            network,
            weights,
            [width] * len(self.levels),
            [patch] * len(self.levels),
            patch,
            [255 * v for v in mean],
            [255 * v for v in std],
        )

    def _create(self, clip, weights: str | None) -> nn.Module:
        model = clip.create_model(
            self.model_name, pretrained=weights, force_image_size=self.image_size
        )
        return model.visual

    def load(self) -> None:
        """Fetch or read the weights.

        Raises:
            FileNotFoundError: if there is no such file.
            RuntimeError: if they cannot be fetched or do not fit.
        """
        clip = require('open_clip', 'clip', 'OpenCLIPTeacher')
        if is_file_name(self.weights) and not Path(self.weights).is_file():
            raise FileNotFoundError(f"the teacher's weights {self.weights!r} do not exist")
        try:
            state = self._create(clip, self.weights).state_dict()
        except Exception as error:  # whatever the hub's client raises
            raise RuntimeError(
                f'OpenCLIP could not load {self.weights!r} of {self.model_name!r}: {error}'
            ) from error
        self.network.load_state_dict(state)

    def maps(self, img: Tensor) -> list[Tensor]:
        """Patch features of the chosen blocks.

        Raises:
            ValueError: for pictures of another size than ``image_size``.
        """
        if tuple(img.shape[-2:]) != self.image_size:
            raise ValueError(
                f'the pictures are {tuple(img.shape[-2:])} after padding, the teacher was made '
                f'for image_size={self.image_size}'
            )
        order = sorted(set(self.levels))
        found = self.network.forward_intermediates(
            img, indices=order, intermediates_only=True, output_fmt='NCHW'
        )['image_intermediates']
        return [found[order.index(level)] for level in self.levels]

    def describe(self) -> dict:
        """With the name, the levels and the picture size."""
        return dict(
            super().describe(),
            model_name=self.model_name,
            levels=self.levels,
            image_size=self.image_size,
        )


def _filtered(timm, network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as timm renames them, if it has a rule for this family."""
    family = require(type(network).__module__, why='TimmTeacher')
    rename = getattr(family, 'checkpoint_filter_fn', None)
    if rename is None:
        return state
    with torch.no_grad():
        return rename(state, network)
