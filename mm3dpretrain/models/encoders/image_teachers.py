"""Frozen image networks that a 3D network learns from."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.compat import require
from mm3dpretrain.registry import MODELS


class ImageTeacher(BaseModule):
    """A frozen network from pictures to maps.

    It is always in eval mode and has no gradient. Its network stands outside of PyTorch's
    registry of sub-modules: it moves with the model between devices, but no checkpoint, no
    export, no optimiser and no initialisation knows of it. Its own weights are read before the
    first training step, or the first picture, so that a model is built without them.

    Maps of pictures whose sides are no multiples of ``divisor`` cover the padded picture,
    ``padded_size(H, W)``: the padding is at the right and the bottom, so that pixel (u, v) keeps
    its coordinates, and a map of (h, w) cells has it in column ``u w / W'``.

    Args:
        network: in eval mode.
        weights: where they come from, for messages and :attr:`identity`; None: as ``network``
            was made, at random.
        out_channels: C_l of the maps.
        strides: pixels a cell of each map.
        divisor: of the padded sides.
        pixel_mean, pixel_std: of the RGB pictures, in 0 to 255, that the weights expect; None
            where that is not known.
        init_cfg: not used, part of MMEngine's interface.
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
        super().__init__(init_cfg)
        # not through __setattr__: see the class
        self.__dict__['network'] = network
        self._freeze()
        self.weights = weights
        self.out_channels = tuple(out_channels)
        self.strides = tuple(strides)
        self.divisor = divisor
        self.pixel_mean, self.pixel_std = pixel_mean, pixel_std
        self._loaded = weights is None

    # ---------------------------------------------------------------- for the kinds of teachers

    @abstractmethod
    def load(self) -> None:
        """Fill ``network`` from ``weights``.

        Raises:
            FileNotFoundError: if there is no such file.
            RuntimeError: if the file does not fit the network.
        """

    @abstractmethod
    def maps(self, img: Tensor) -> Sequence[Tensor]:
        """Maps of padded pictures."""

    # ---------------------------------------------------------------- for the methods

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

    def ensure_loaded(self) -> None:
        """Read the weights unless that was done."""
        if not self._loaded:
            self.load()
            self._freeze()
            self._loaded = True

    def _freeze(self) -> None:
        self.network.requires_grad_(False)
        self.network.eval()

    @cached_property
    def identity(self) -> str:
        """A hash of network and weights: features of teachers that share it are the same."""
        digest = hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode())
        path = Path(self.weights or '')
        if self.weights is not None and path.is_file():
            digest.update(path.read_bytes())
        else:
            self.ensure_loaded()
            for name, value in sorted(self.network.state_dict().items()):
                digest.update(name.encode() + value.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def check_normalization(self, preprocessor: nn.Module) -> None:
        """Refuse pictures that the weights do not expect.

        Args:
            preprocessor: with ``mean`` and ``std`` of the pictures, range 0 to 255.

        Raises:
            ValueError: if they are not those of the teacher, where it knows its own.
        """
        for name in ('mean', 'std'):
            wanted, found = getattr(self, f'pixel_{name}'), getattr(preprocessor, name, None)
            found = None if found is None else [round(v, 3) for v in found.flatten().tolist()]
            if wanted is None:
                continue
            if found is None or any(abs(a - b) > 0.5 for a, b in zip(wanted, found)):
                raise ValueError(
                    f"the teacher's weights expect pictures of {name} {list(wanted)}, the data "
                    f'preprocessor has {found}: set its {name} to that'
                )

    def key(self, preprocessor: nn.Module, image_size: tuple[int, int]) -> str:
        """What cached features are valid for: this teacher, pictures normalised and sized so.

        Args:
            preprocessor: with ``mean`` and ``std``, or None for both.
            image_size: (H, W) of the pictures.
        """
        found = [getattr(preprocessor, name, None) for name in ('mean', 'std')]
        found = [None if v is None else [round(x, 3) for x in v.flatten().tolist()] for v in found]
        text = json.dumps([self.identity, found, list(image_size)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self) -> dict:
        """What the maps depend on beside the weights, as plain data."""
        return dict(
            type=type(self).__name__,
            out_channels=self.out_channels,
            strides=self.strides,
            divisor=self.divisor,
        )

    # ---------------------------------------------------------------- a guest in its model

    def init_weights(self) -> None:
        """Read the weights: a missing file stops a training before its first batch."""
        self.ensure_loaded()

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        self.network._apply(fn)
        return self


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
            backbone=_plain(self.backbone_cfg),
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


def _plain(value):
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
