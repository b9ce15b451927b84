"""Optional packages: imported where they are used, with one clear error where they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str | None = None, why: str | None = None) -> ModuleType:
    """Import an optional package or say how to get it.

    Args:
        module: Dotted name of the module, for instance ``'sklearn.svm'``.
        extra: The extra of this package that brings it (``det3d``, ``clip``, ``sparse``, ``eval``,
            ``shards``, ``dev``); without one, the message names the package itself.
        why: What needs it, for instance ``'the linear SVM probe'``.

    Returns:
        The imported module.

    Raises:
        ImportError: It is not installed, or it is installed and fails to import (the message then
            carries its own error).
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition('.')[0]
        absent = isinstance(error, ModuleNotFoundError) and error.name == package
        purpose = f'{why} needs' if why else 'this needs'
        wanted = f"'mm3dpretrain[{extra}]'" if extra else package
        if absent:
            text = (
                f'{purpose} the package {package!r}, which is not installed: pip install {wanted}'
            )
            if extra:
                text += f' (in a checkout: pip install -e .[{extra}], or run make setup)'
        else:
            text = f'{purpose} {module!r}, which is installed but fails to import: {error}'
        raise ImportError(text, name=package) from error
