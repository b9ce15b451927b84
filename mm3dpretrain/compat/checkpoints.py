"""Checkpoints that load safely, whatever the torch version, and are never written half.

MMEngine 0.10 stores a ``MessageHub`` of ``HistoryBuffer`` objects in every checkpoint and reads it
back with a bare ``torch.load``. With torch >= 2.6 that refuses to resume a run, because those
classes are not on torch's list; with an older torch it runs any code that the file holds. Here the
few harmless classes of a training checkpoint are allowed, and nothing else is, on every version.
"""

from __future__ import annotations

import functools
import os
import pickle
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.utils import digit_version

# From this version on, `weights_only=True` knows objects (not only functions) and their aliases.
TORCH_UNPICKLES_SAFELY = digit_version(torch.__version__.partition('+')[0]) >= digit_version('2.6')

# The whole weights in the folder that DeepSpeed writes for a checkpoint.
WEIGHTS_IN_FOLDER = 'weights.pth'


class CheckpointError(RuntimeError):
    """A file cannot be loaded as a checkpoint: damaged, not a checkpoint, or holding code."""


def _statistic_of_history(owner: object, name: str) -> object:
    """Stands in for ``getattr`` in a pickle: a ``HistoryBuffer`` names its statistics that way.

    ``getattr`` itself must not be allowed, for any function leads to its module's globals.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr.{name}')


@functools.cache
def allowed_classes() -> dict[str, object]:
    """What a training checkpoint may hold beyond torch's own list, by the name pickled.

    Names of both NumPy generations lead to the installed one, so that a checkpoint written under
    NumPy 2 resumes under NumPy 1 and the other way round.
    """
    from mmengine.config import ConfigDict
    from mmengine.logging.history_buffer import HistoryBuffer

    array = np.zeros(1)
    reconstruct = array.__reduce__()[0]
    scalar = array[0].__reduce__()[0]
    allowed: dict[str, object] = {
        'mmengine.logging.history_buffer.HistoryBuffer': HistoryBuffer,
        'mmengine.config.config.ConfigDict': ConfigDict,
        'builtins.getattr': _statistic_of_history,
        'numpy.ndarray': np.ndarray,
        'numpy.dtype': np.dtype,
    }
    for core in ('numpy.core', 'numpy._core'):
        allowed[f'{core}.multiarray._reconstruct'] = reconstruct
        allowed[f'{core}.multiarray.scalar'] = scalar
    for code in np.typecodes['All']:
        if code != 'O':
            kind = type(np.dtype(code))
            allowed[f'{kind.__module__}.{kind.__qualname__}'] = kind
    return allowed


def allow_mmengine_classes() -> None:
    """Put :func:`allowed_classes` on torch's list, for ``torch.load`` in general (torch >= 2.6)."""
    if TORCH_UNPICKLES_SAFELY:
        torch.serialization.add_safe_globals(
            [(value, name) for name, value in allowed_classes().items()]
        )


@functools.cache
def _restricted_globals() -> dict[str, object]:
    from _codecs import encode

    from torch._weights_only_unpickler import _get_allowed_globals

    return {
        **_get_allowed_globals(),
        '_codecs.encode': encode,
        'builtins.set': set,
        'builtins.complex': complex,
        'builtins.bytearray': bytearray,
        **allowed_classes(),
    }


class RestrictedUnpickler(pickle.Unpickler):
    """Unpickles what is on the list and refuses any other name before it is even imported."""

    def find_class(self, module: str, name: str) -> object:
        module = {'__builtin__': 'builtins'}.get(module, module)
        try:
            return _restricted_globals()[f'{module}.{name}']
        except KeyError:
            raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {module}.{name}') from None


# What `torch.load` asks of its `pickle_module`.
RESTRICTED_PICKLE = SimpleNamespace(
    __name__='mm3dpretrain.compat.checkpoints.RESTRICTED_PICKLE',
    Unpickler=RestrictedUnpickler,
    UnpicklingError=pickle.UnpicklingError,
    load=lambda file, **kwargs: RestrictedUnpickler(file, **kwargs).load(),
)


def _torch_load(path: Path, map_location, restricted: bool):
    if restricted:
        return torch.load(
            path, map_location=map_location, pickle_module=RESTRICTED_PICKLE, weights_only=False
        )
    return torch.load(path, map_location=map_location, weights_only=True)


def load_checkpoint(
    filename: str | os.PathLike, map_location=None, restricted: bool = not TORCH_UNPICKLES_SAFELY
) -> dict:
    """Load a local checkpoint without ever running code from it.

    Args:
        filename: Path of the file; ``~`` is expanded. For the folder that DeepSpeed writes, the
            ``weights.pth`` in it.
        map_location: As for :func:`torch.load`.
        restricted: Use this module's own unpickler instead of torch's; the default where torch is
            older than 2.6.

    Returns:
        What was saved, usually a dict with ``state_dict`` and ``meta``.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file holds a class or function that is not on the list (code could
            hide there), or it is damaged, or no checkpoint at all.
    """
    path = Path(filename).expanduser()
    if path.is_dir():
        path /= WEIGHTS_IN_FOLDER
        if not path.is_file():
            raise FileNotFoundError(
                f'checkpoint {str(filename)!r} is a folder without {WEIGHTS_IN_FOLDER}: one of '
                "DeepSpeed's stage 3? The zero_to_fp32.py beside it gathers the weights"
            )
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {str(filename)!r} does not exist or is no file')
    try:
        return _torch_load(path, map_location, restricted)
    except OSError:
        raise
    except Exception as error:  # an unpickler fed with garbage raises anything
        refused = re.search(r'GLOBAL ([\w.]+)', str(error))
        if refused:
            raise CheckpointError(
                f'{path} was not loaded: it holds {refused[1]!r}, and only tensors, plain data and '
                'what a training run records are allowed, because unpickling anything else can run '
                'code. If you trust the file, load it yourself with '
                'torch.load(..., weights_only=False) and save its state_dict alone.'
            ) from error
        # What torch says about a sound file (a missing device, say) is its own to say.
        damaged = r'PytorchStreamReader|invalid magic|corrupt|truncated|unexpected pos'
        if type(error) is RuntimeError and not re.search(damaged, str(error), re.IGNORECASE):
            raise
        detail = str(error).partition('WeightsUnpickler error:')[2] or str(error)
        detail = (detail.strip().splitlines() or [type(error).__name__])[0][:120]
        raise CheckpointError(
            f'{path} ({path.stat().st_size} bytes) cannot be read as a checkpoint: the file is '
            f'truncated, damaged or of another kind ({detail})'
        ) from error


def load_from_local(filename: str, map_location=None) -> dict:
    """MMEngine's loader for paths, made safe (see :func:`load_checkpoint`)."""
    return load_checkpoint(filename, map_location)


def load_from_http(
    filename: str, map_location=None, model_dir: str | None = None, progress: bool = False
) -> dict:
    """MMEngine's loader for URLs, made safe: torch's own downloader unpickles anything.

    Rank 0 downloads into torch's hub folder, the other ranks read what it left there.

    Args:
        filename: URL.
        map_location: As for :func:`torch.load`.
        model_dir: Folder to download into, torch's hub folder by default.
        progress: Show a progress bar.
    """
    from mmengine.dist import barrier, get_rank

    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints'))
    target = folder / os.path.basename(urlparse(filename).path)
    if get_rank() == 0 and not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(target), progress=progress)
    barrier()
    if not target.is_file():  # another machine, with a disk of its own
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(target), progress=False)
    return load_checkpoint(target, map_location)


def use_safe_loaders(module: ModuleType) -> None:
    """Give MMEngine's checkpoint module the safe loaders and the atomic writer.

    Args:
        module: ``mmengine.runner.checkpoint``, imported.
    """
    register = module.CheckpointLoader.register_scheme
    register(prefixes='', loader=load_from_local, force=True)
    register(prefixes=('http://', 'https://'), loader=load_from_http, force=True)
    # The schemes torchvision://, open-mmlab:// and mmcls:// end in this function.
    module.load_from_http = load_from_http
    use_atomic_save(module)


def use_atomic_save(module: ModuleType) -> None:
    """Wrap a module's ``save_checkpoint``: a run killed while saving leaves the last file whole.

    Args:
        module: ``mmengine.runner.checkpoint`` or ``mmengine.runner.runner``, imported.
    """
    original = module.save_checkpoint
    if getattr(original, 'atomic', False):
        return

    @functools.wraps(original)
    def save_checkpoint(checkpoint, filename, *args, **kwargs) -> None:
        if '://' in str(filename) or ':s3:' in str(filename):
            original(checkpoint, filename, *args, **kwargs)
            return
        temporary = f'{filename}.{os.getpid()}.tmp'
        try:
            original(checkpoint, temporary, *args, **kwargs)
            os.replace(temporary, filename)
        finally:
            Path(temporary).unlink(missing_ok=True)

    save_checkpoint.atomic = True
    module.save_checkpoint = save_checkpoint


def explain_prefix(module: ModuleType) -> None:
    """Let a prefix that names nothing say what the checkpoint does hold.

    MMEngine ends in a bare assertion (``init_cfg=dict(type='Pretrained', prefix=...)``).

    Args:
        module: ``mmengine.runner.checkpoint``, imported.
    """
    original = module._load_checkpoint_with_prefix
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def load_with_prefix(prefix: str, filename: str, map_location=None) -> dict:
        try:
            return original(prefix, filename, map_location)
        except AssertionError as error:
            content = module._load_checkpoint(filename, map_location=map_location)
            names = content.get('state_dict', content)
            parts = sorted({'.'.join(name.split('.')[:2]) + '.' for name in names})
            shown = ', '.join(parts[:12]) + (', ...' if len(parts) > 12 else '')
            raise CheckpointError(
                f'{filename} holds no weights below the prefix {prefix!r}; its names begin with '
                f'{shown}'
            ) from error

    load_with_prefix.mended = True
    module._load_checkpoint_with_prefix = load_with_prefix
