"""Frozen image networks that a 3D network learns from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.compat import require
from mm3dpretrain.registry import MODELS

from .frozen_teacher import FrozenTeacher, plain


class ImageTeacher(FrozenTeacher):
    """A frozen network from pictures to maps.

    Maps of pictures whose sides are no multiples of ``divisor`` cover the padded picture,
    ``padded_size(H, W)``: the padding is at the right and the bottom, so that pixel (u, v) keeps
    its coordinates, and a map of (h, w) cells has it in column ``u w / W'``.

    Args:
        network, weights: see :class:`FrozenTeacher`.
        out_channels: C_l of the maps.
        strides: pixels a cell of each map.
        divisor: of the padded sides.
        pixel_mean, pixel_std, init_cfg: see :class:`FrozenTeacher`.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: str | None,
        out_channels: Sequence[int],
        strides: Sequence[int],
        divisor: int = 1,
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(network, weights, pixel_mean, pixel_std, init_cfg)
        self.out_channels = tuple(out_channels)
        self.strides = tuple(strides)
        self.divisor = divisor

    @abstractmethod
    def maps(self, img: Tensor) -> Sequence[Tensor]:
        """Maps of padded pictures."""

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """(H', W'), the part of the plane that the maps of (H, W) pixels cover."""
        d = self.divisor
        return -(-height // d) * d, -(-width // d) * d

    @torch.no_grad()
    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        """Features of pictures.

        Args:
            img: (P, 3, H, W) RGB, normalised as the weights expect it.

        Returns:
            (P, C_l, h_l, w_l) of each level, covering ``padded_size(H, W)``; float32, or the
            dtype of an autocast region.

        Raises:
            ValueError: for another shape.
        """
        if img.dim() != 4 or img.shape[1] != 3:
            raise ValueError(f'a teacher takes pictures (P, 3, H, W), got {tuple(img.shape)}')
        self.ensure_loaded()
        height, width = self.padded_size(*img.shape[-2:])
        # zeros are the mean colour, and as good as anything behind the rim
        img = F.pad(img, (0, width - img.shape[-1], 0, height - img.shape[-2]))
        return tuple(m.contiguous() for m in self.maps(img))

    def describe(self) -> dict:
        """What the maps depend on beside the weights, as plain data."""
        return dict(
            super().describe(),
            out_channels=self.out_channels,
            strides=self.strides,
            divisor=self.divisor,
        )


@MODELS.register_module()
class BackboneTeacher(ImageTeacher):
    """Any backbone of the registry as teacher, such as one that this toolbox trained.

    Examples::

        dict(type='BackboneTeacher', backbone=dict(type='mmdet.ResNet', depth=50),
             weights='resnet50.pth', levels=(1, 2))
        dict(type='BackboneTeacher', backbone=dict(type='mmpretrain.VisionTransformer', ...),
             weights='work_dirs/teacher/epoch_12.pth', prefix='backbone.')

    Args:
        backbone: config of a network from (P, 3, H, W) to one map or a tuple of them.
        weights: checkpoint; a file or URL. None leaves the network at random.
        prefix: of the backbone's weights in it.
        levels: which maps count, in this order.
        divisor: pictures are padded to multiples of it.
        probe_size: (H, W) of the picture by which channels and strides are found out.

    Raises:
        ImportError: if the backbone's package is not installed.
        KeyError: if the registry does not know the name.
        ValueError: if it has fewer maps than ``levels`` says.
    """

    def __init__(
        self,
        backbone: dict,
        weights: str | None = None,
        prefix: str = '',
        levels: Sequence[int] = (-1,),
        divisor: int = 32,
        probe_size: tuple[int, int] = (64, 64),
    ) -> None:
        scope, dot, _ = str(backbone.get('type')).rpartition('.')
        if dot and MODELS.get(backbone['type']) is None:
            # the registry alone would only say that it does not know the name
            require(f'{scope}.models', why=f'the teacher {backbone["type"]!r}')
        network = MODELS.build(dict(backbone))
        network.eval()  # not every backbone returns itself
        with torch.no_grad():
            found = _as_maps(network(torch.zeros(1, 3, *probe_size)))
        if any(not -len(found) <= level < len(found) for level in levels):
            raise ValueError(
                f'levels={tuple(levels)}, but {backbone["type"]!r} returns {len(found)} map(s)'
            )
        chosen = [found[level] for level in levels]
        super().__init__(
            network,
            weights,
            [m.shape[1] for m in chosen],
            [probe_size[0] // m.shape[-2] for m in chosen],
            divisor,
        )
        self.prefix = prefix
        self.levels = tuple(levels)
        self.backbone_cfg = dict(backbone)

    def load(self) -> None:
        """Fill the backbone.

        Raises:
            FileNotFoundError: if there is no such file.
            RuntimeError: if it lacks weights of the backbone, or some have another shape.
        """
        from mm3dpretrain.apis.checkpoint import load_weights, weights_of

        source = f'{self.weights}, prefix {self.prefix!r}, for the teacher:'
        load_weights(self.network, weights_of(self.weights, self.prefix), source)

    def maps(self, img: Tensor) -> list[Tensor]:
        """The chosen maps of the backbone."""
        found = _as_maps(self.network(img))
        return [found[level] for level in self.levels]

    def describe(self) -> dict:
        """With the config of the backbone."""
        return dict(
            super().describe(),
            backbone=plain(self.backbone_cfg),
            prefix=self.prefix,
            levels=self.levels,
        )


@MODELS.register_module()
class MobileNetV2Teacher(ImageTeacher):
    """MobileNetV2 1.0 with weights of TensorFlow: torchvision's network, TensorFlow's padding.

    The strided convolutions of the original pad only at the right and the bottom ("SAME"). Its
    pictures are RGB, ``x / 127.5 - 1``: mean and deviation of the data preprocessor are 127.5.

    Args:
        weights: ``.npz`` or ``.pth`` with the keys of torchvision's ``mobilenet_v2``; arrays of
            half precision will do. None leaves the network at random.
        levels: indices into ``features``, in rising order; (3, 6, 13) are the last ones of 24, 32
            and 96 channels at strides 4, 8 and 16, (18,) is the last one, 1280 at stride 32.

    Raises:
        ValueError: for an index that does not exist.
    """

    def __init__(self, weights: str | None = None, levels: Sequence[int] = (3, 6, 13)) -> None:
        models = require('torchvision.models', why='MobileNetV2Teacher')
        network = models.mobilenet_v2().features
        if not levels or any(not 0 <= k < len(network) for k in levels):
            raise ValueError(f'levels must be in [0, {len(network)}), got {tuple(levels)}')
        for module in list(network.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
                    setattr(module, name, _SamePadded(child))
        self.levels = tuple(levels)
        sizes, x = [], torch.zeros(1, 3, 64, 64)
        with torch.no_grad():
            for block in network.eval():
                x = block(x)
                sizes.append((x.shape[1], 64 // x.shape[-1]))
        channels, strides = zip(*(sizes[k] for k in levels))
        half = (127.5,) * 3
        super().__init__(network, weights, channels, strides, max(strides), half, half)

    def load(self) -> None:
        """Fill the network; the classifier's weights are ignored.

        Raises:
            FileNotFoundError: if there is no such file.
            RuntimeError: if it lacks weights of the network, or some have another shape.
        """
        from mm3dpretrain.apis.checkpoint import load_weights, strip_prefix, weights_of

        path = Path(self.weights)
        if path.suffix == '.npz':
            if not path.is_file():
                raise FileNotFoundError(
                    f"the teacher's weights {str(path)!r} do not exist: set MM3D_DATA to the "
                    'folder of the small real data sets'
                )
            with np.load(path) as arrays:
                state = {k: torch.from_numpy(arrays[k].astype(np.float32)) for k in arrays.files}
            state = strip_prefix(state, 'features')
        else:
            state = weights_of(self.weights, 'features')
        own = {k: k.replace('.same.', '.') for k in self.network.state_dict()}
        counted = {k: torch.zeros(()).long() for k in own if k.endswith('num_batches_tracked')}
        state = counted | {k: state[old] for k, old in own.items() if old in state}
        load_weights(self.network, state, f'{self.weights} for MobileNetV2:')

    def maps(self, img: Tensor) -> list[Tensor]:
        """Outputs of the chosen blocks."""
        found = []
        for k, block in enumerate(self.network[: max(self.levels) + 1]):
            img = block(img)
            if k in self.levels:
                found.append(img)
        return found

    def describe(self) -> dict:
        """With the blocks whose outputs are taken."""
        return dict(super().describe(), levels=self.levels)


class _SamePadded(nn.Module):
    """A convolution of kernel 3 and stride 2 with TensorFlow's padding of even sides."""

    def __init__(self, same: nn.Conv2d) -> None:
        super().__init__()
        same.padding = (0, 0)
        self.same = same

    def forward(self, x: Tensor) -> Tensor:
        return self.same(F.pad(x, (0, 1, 0, 1)))


def _as_maps(outputs) -> tuple[Tensor, ...]:
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
