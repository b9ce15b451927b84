"""The one switch of all CPU kernels that stand in for missing ones of mmcv and mmdet3d."""

from __future__ import annotations

import os

import torch

MODES = ('auto', 'on', 'off')
VARIABLE = 'MM3D_CPU_OPS'
_chosen: str | None = None


def _checked(mode: str, where: str) -> str:
    if mode not in MODES:
        raise ValueError(f'{where} must be one of {", ".join(MODES)}, got {mode!r}')
    return mode


def set_cpu_ops(mode: str | None) -> None:
    """Choose when CPU tensors are served by this package's kernels; takes effect at once.

    Args:
        mode: ``'auto'`` (where there is no CUDA device), ``'on'`` or ``'off'``; None leaves it to
            the environment variable ``MM3D_CPU_OPS``, which is ``'auto'`` unless set.

    Raises:
        ValueError: Another mode.
    """
    global _chosen
    _chosen = None if mode is None else _checked(mode, 'cpu_ops')


def cpu_ops_enabled() -> bool:
    """Whether CPU tensors are served.

    Raises:
        ValueError: ``MM3D_CPU_OPS`` holds something else than a mode.
    """
    mode = _chosen or _checked(os.environ.get(VARIABLE, 'auto'), f'environment variable {VARIABLE}')
    return mode == 'on' or (mode == 'auto' and not torch.cuda.is_available())


def serves(*values: object) -> bool:
    """Whether a call with these arguments is for the CPU kernels: its tensors are on the CPU."""
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    return all(t.device.type == 'cpu' for t in tensors) and cpu_ops_enabled()
