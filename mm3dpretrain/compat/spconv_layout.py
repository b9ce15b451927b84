"""Kernels of spconv 2 arrive although their state dict lost its version.

spconv 1 (mmcv's) stores kernels as (D, H, W, in, out), spconv 2 as (out, D, H, W, in). mmdet3d 1.4
tells them apart by the version in the state dict's metadata and permutes whatever has none. But
MMEngine drops the metadata when it cuts a prefix off (``init_cfg=dict(type='Pretrained',
prefix=...)``): good kernels are then permuted, do not fit any more, and the network starts from
random ones with nothing but a line in the log.
"""

from __future__ import annotations

import functools
from types import ModuleType


def _is_current(weight, own, version: int | None) -> bool:
    """Whether a stored kernel already has the layout of the module's own one."""
    shape = tuple(own.shape)
    if tuple(weight.shape) != shape:
        return False
    if version is None:
        return True
    permuted = (shape[-1], *shape[:-1])
    return permuted != shape


def mend_loading(module: ModuleType) -> None:
    """Let a kernel's shape decide where the metadata cannot.

    Args:
        module: ``mmdet3d.models.layers.spconv.overwrite_spconv.write_spconv2``, imported.
    """
    original = module._load_from_state_dict
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def load_from_state_dict(self, state_dict, prefix, local_metadata, *args) -> None:
        weight, own = state_dict.get(prefix + 'weight'), self._parameters.get('weight')
        both = weight is not None and own is not None
        if both and _is_current(weight, own, local_metadata.get('version')):
            local_metadata = {**local_metadata, 'version': 2}
        original(self, state_dict, prefix, local_metadata, *args)

    load_from_state_dict.mended = True
    module._load_from_state_dict = load_from_state_dict
