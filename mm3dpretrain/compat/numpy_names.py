"""mmdet3d's sampling of database objects works beside every NumPy.

``mmdet3d.datasets.transforms.dbsampler`` (1.4) writes ``np.long``, which NumPy 1.24 to 1.26 does
not have: every config with ``ObjectSample`` (the KITTI detectors) ends in an ``AttributeError``.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace

import numpy as np


def mend_long(module: ModuleType) -> None:
    """Let the module see NumPy with ``long``; NumPy itself stays as it is.

    Args:
        module: ``mmdet3d.datasets.transforms.dbsampler``, imported.
    """
    if 'long' not in vars(np):
        module.np = SimpleNamespace(**{**vars(np), 'long': np.int64})
