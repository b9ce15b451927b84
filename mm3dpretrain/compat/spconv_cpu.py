"""spconv's CPU build trains.

``spconv.pytorch.ops.indice_conv_backward`` (2.3.8) asks for the current CUDA stream before it
looks at the tensors' device. Without CUDA there is no stream; the CPU branch never uses the value.
"""

from __future__ import annotations

import functools
from types import ModuleType

import torch


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
