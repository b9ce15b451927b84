"""spconv's CPU build trains.

``spconv.pytorch.ops.indice_conv_backward`` (2.3.8) asks for the current CUDA stream before it
looks at the tensors' device. Without CUDA there is no stream; the CPU branch never uses the value.
"""

from __future__ import annotations

import functools
from types import ModuleType

import torch

from .cpu_switch import serves


def mend_stream(module: ModuleType) -> None:
    """Let ``get_current_stream`` answer 0 where there is no CUDA device.

    Args:
        module: ``spconv.pytorch.ops``, imported.
    """
    original = module.get_current_stream
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def get_current_stream() -> int:
        return original() if torch.cuda.is_available() else 0

    get_current_stream.mended = True
    module.get_current_stream = get_current_stream


def mend_features(module: ModuleType) -> None:
    """Let the features of a sparse tensor on the CPU be assigned, as mmcv's tensors allow.

    mmdet3d's Cylinder3D does that with the outputs of its layers, which are its own objects.

    Args:
        module: ``spconv.pytorch.core``, imported.
    """
    tensor = module.SparseConvTensor
    original = tensor.features
    if getattr(original.fset, 'mended', False):
        return

    def assign(self, features: torch.Tensor) -> None:
        if not serves(features):
            original.fset(self, features)
            return
        if len(features) != len(self.indices):
            raise ValueError(
                f'{len(features)} rows of features for {len(self.indices)} voxels of the tensor'
            )
        self._features = features

    assign.mended = True
    tensor.features = property(original.fget, assign, original.fdel, original.__doc__)
