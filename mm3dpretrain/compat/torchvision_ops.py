"""torchvision beside a torch without CUDA.

Where only the CUDA build of torchvision is offered, its native operators cannot be loaded by a
CPU-only torch, and ``import torchvision`` dies with ``operator torchvision::nms does not exist``:
it attaches shape functions to operators that the missing library would have defined. Defining the
two schemas is enough for everything but the operators themselves (``timm`` and ``open_clip`` use
none of them); calling one still raises torchvision's own explanation.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import torch

_SCHEMA = '{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
_NAMES = ('nms', 'qnms')

# Operators live as long as the library object that defined them.
_LIBRARIES: list[torch.library.Library] = []


def native_ops_load(folder: str | Path) -> bool:
    """Whether torch can load torchvision's compiled operators.

    Args:
        folder: The installed ``torchvision`` package.
    """
    for path in sorted(Path(folder).glob('_C*')):
        if path.suffix not in ('.so', '.pyd', '.dylib'):
            continue
        try:
            torch.ops.load_library(str(path))
            return True
        except (ImportError, OSError):
            continue
    return False


def _is_defined(name: str) -> bool:
    try:
        getattr(torch.ops.torchvision, name)
    except (AttributeError, RuntimeError):
        return False
    return True


def define_missing_ops(module: ModuleType) -> None:
    """Define the operator schemas that ``import torchvision`` needs, where they are missing.

    Does nothing on a torch with CUDA or ROCm (there, a torchvision that cannot load is a wrong
    installation that must be seen) and nothing where the native operators load.

    Args:
        module: ``torchvision``, found but not yet executed.
    """
    if torch.version.cuda is not None or torch.version.hip is not None:
        return
    folders = module.__spec__.submodule_search_locations or []
    if any(native_ops_load(folder) for folder in folders):
        return
    library = torch.library.Library('torchvision', 'FRAGMENT')
    for name in _NAMES:
        if not _is_defined(name):
            library.define(_SCHEMA.format(name))
    _LIBRARIES.append(library)
