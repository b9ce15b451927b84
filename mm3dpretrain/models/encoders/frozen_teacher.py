"""Frozen networks that a model learns from and that leave no trace in its checkpoints."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from mmengine.model import BaseModule
from torch import nn

_CHUNK = 1 << 24  # bytes of a weight file in memory at a time


class FrozenTeacher(BaseModule):
    """A network that is always in eval mode, has no gradient and reads its weights late.

    It stands outside of PyTorch's registry of sub-modules: it moves with the model between devices,
    but no checkpoint, no export, no optimiser and no initialisation knows of it. Its own weights
    are read before the first training step, or the first use, so that a model is built without
    them.

    Args:
        network: in eval mode.
        weights: where they come from, for messages and :attr:`identity`; None: as ``network``
            was made, at random.
        pixel_mean, pixel_std: of the RGB pictures, in 0 to 255, that the weights expect; None
            where that is not known.
        init_cfg: not used, part of MMEngine's interface.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: str | None,
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        # not through __setattr__: see the class
        self.__dict__['network'] = network
        self._freeze()
        self.weights = weights
        self.pixel_mean, self.pixel_std = pixel_mean, pixel_std
        self._loaded = weights is None

    @abstractmethod
    def load(self) -> None:
        """Fill ``network`` from ``weights``.

        Raises:
            FileNotFoundError: if there is no such file.
            RuntimeError: if the file does not fit the network.
        """

    def describe(self) -> dict:
        """What the outputs depend on beside the weights, as plain data."""
        return dict(type=type(self).__name__)

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
        self._hash_weights(digest)
        return digest.hexdigest()[:16]

    def _hash_weights(self, digest) -> None:
        path = Path(self.weights or '')
        if self.weights is None or not path.is_file():
            self._hash_tensors(digest)
            return
        with open(path, 'rb') as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)

    def _hash_tensors(self, digest) -> None:
        self.ensure_loaded()
        for name, value in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + value.cpu().numpy().tobytes())

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

    # ---------------------------------------------------------------- a guest in its model

    def init_weights(self) -> None:
        """Read the weights: a missing file stops a training before its first batch."""
        self.ensure_loaded()

    def _apply(self, fn, recurse: bool = True):
        super()._apply(fn, recurse)
        self.network._apply(fn)
        return self


def plain(value):
    """Nested configs as JSON can hold them."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
