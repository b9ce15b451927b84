"""NVIDIA's Kaolin, found by what it can do.

The package index has a placeholder of that name (version 0.1, no code), and a Kaolin that was
built without CUDA has all functions but raises in the rasteriser. Neither may be taken for the
real thing, so the functions are looked for and one triangle is drawn.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from types import ModuleType

import torch

FUNCTIONS = ('prepare_vertices', 'rasterize', 'dibr_rasterization')
HOW_TO_INSTALL = (
    "Kaolin's wheels are NVIDIA's own, one for each version of torch and CUDA, and not on the "
    'package index: pip install kaolin==0.18.0 -f https://nvidia-kaolin.s3.us-east-2.amazonaws.com'
    '/torch-{torch}_cu{cuda}.html (versions as 2.5.1 and 121; see '
    'https://kaolin.readthedocs.io/en/latest/notes/installation.html).'
)
ALTERNATIVE = "MeshRenderer (type='MeshRenderer') draws the same without Kaolin, on any machine."


class KaolinError(ImportError):
    """Kaolin's mesh rasteriser cannot be used here; the message says what to install."""


def require_kaolin(device: str | torch.device | None = None) -> ModuleType:
    """``kaolin.render.mesh``, if it can draw on ``device``.

    Args:
        device: where to draw; default the current CUDA device, or the CPU without one.

    Returns:
        The module with ``prepare_vertices``, ``rasterize`` and ``dibr_rasterization``.

    Raises:
        KaolinError: if there is no Kaolin, only the placeholder of that name, a Kaolin that fails
            to import, or one that cannot draw on the device.
    """
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    module = _import()
    problem = _draws(module, str(torch.device(device)))
    if problem is not None:
        raise KaolinError(f'{problem} {ALTERNATIVE}', name='kaolin')
    return module


def kaolin_available(device: str | torch.device | None = None) -> bool:
    """Whether :func:`require_kaolin` succeeds."""
    try:
        require_kaolin(device)
    except KaolinError:
        return False
    return True


def _import() -> ModuleType:
    try:
        package = importlib.import_module('kaolin')
    except ModuleNotFoundError as error:
        if error.name == 'kaolin':
            raise KaolinError(
                f'Kaolin is not installed. {HOW_TO_INSTALL} {ALTERNATIVE}', name='kaolin'
            ) from error
        raise KaolinError(_fails_to_import(error), name='kaolin') from error
    except Exception as error:  # an extension built for another torch raises what it likes
        raise KaolinError(_fails_to_import(error), name='kaolin') from error
    try:
        module = importlib.import_module('kaolin.render.mesh')
    except ModuleNotFoundError as error:
        if not str(error.name).startswith('kaolin'):
            raise KaolinError(_fails_to_import(error), name='kaolin') from error
        module = None
    except Exception as error:
        raise KaolinError(_fails_to_import(error), name='kaolin') from error
    missing = [name for name in FUNCTIONS if not callable(getattr(module, name, None))]
    if missing:
        version = getattr(package, '__version__', 'unknown')
        raise KaolinError(
            f'The installed package kaolin (version {version}) is not NVIDIA Kaolin or is too old: '
            f'kaolin.render.mesh has no {", ".join(missing)}. Version 0.1 is an empty placeholder: '
            f'pip uninstall kaolin. {HOW_TO_INSTALL} {ALTERNATIVE}',
            name='kaolin',
        )
    return module


def _fails_to_import(error: Exception) -> str:
    return (
        f'Kaolin is installed but fails to import ({type(error).__name__}: {error}). It must be '
        f'built for the installed torch ({torch.__version__}). {HOW_TO_INSTALL} {ALTERNATIVE}'
    )


@lru_cache
def _draws(module: ModuleType, device: str) -> str | None:
    """None if a triangle that covers the picture is drawn, otherwise what is wrong."""
    corners = [[-1.0, -1.0], [3.0, -1.0], [-1.0, 3.0]]
    image = torch.tensor(corners, device=device).reshape(1, 1, 3, 2)
    depth = -torch.ones(1, 1, 3, device=device)
    try:
        _, index = module.rasterize(2, 2, depth, image, torch.ones(1, 1, 3, 1, device=device))
        if index.flatten().tolist() == [0, 0, 0, 0]:
            return None
        error = f'a triangle over the whole picture gave the face indices {index.tolist()}'
    except Exception as raised:  # the message of its C++ code depends on the version
        error = f'{type(raised).__name__}: {str(raised).strip()}'.splitlines()[0]
    if torch.device(device).type != 'cuda':
        place = (
            'the geometry must be on a CUDA device'
            if torch.cuda.is_available()
            else (f'torch {torch.__version__} sees no CUDA device')
        )
        return f'Kaolin rasterises with CUDA kernels only, and not on {device}: {place} ({error}).'
    return (
        f'The installed Kaolin cannot draw on {device}: it was built without CUDA kernels, or for '
        f'another GPU ({error}). {HOW_TO_INSTALL}'
    )
