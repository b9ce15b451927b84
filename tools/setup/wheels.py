"""The cache of built mmcv wheels, shared by all checkouts of a user."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import zipfile
from pathlib import Path


def cache_root(environ=os.environ) -> Path:
    """``$XDG_CACHE_HOME/mm3dpretrain/wheels``, below ``~/.cache`` by default."""
    base = environ.get('XDG_CACHE_HOME') or ''
    if not os.path.isabs(base):  # the XDG rules: anything else is to be ignored
        base = os.path.join(environ.get('HOME') or os.path.expanduser('~'), '.cache')
    return Path(base) / 'mm3dpretrain' / 'wheels'


def wheel_key(torch: str, mmcv: str, kind: str = 'cpu') -> str:
    """Folder name of one build: a wheel fits one Python, one torch, one mmcv, one machine type.

    Args:
        torch: Full version, the build after the plus included (``2.13.0+cpu``).
        mmcv: Version.
        kind: Which operators were compiled.
    """
    python = f'{sys.implementation.cache_tag.replace("cpython-", "cp")}'
    machine = f'{platform.system()}-{platform.machine()}'.lower()
    return f'{python}-torch{torch}-mmcv{mmcv}-{kind}-{machine}'


def is_whole(wheel: Path) -> bool:
    """Whether a wheel can be read to its end and holds mmcv's compiled operators."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            return archive.testzip() is None and any(n.startswith('mmcv/_ext') for n in names)
    except (OSError, zipfile.BadZipFile):
        return False


def find_wheel(root: Path, key: str) -> Path | None:
    """The cached wheel of a key; one that is damaged is removed and does not count."""
    for wheel in sorted((root / key).glob('mmcv-*.whl')):
        if is_whole(wheel):
            return wheel
        wheel.unlink(missing_ok=True)
    return None


def may_have_wheel(root: Path, torch: str, mmcv: str) -> bool:
    """Whether there is a wheel for some build (``+cpu``, ``+cu130``) of a torch version.

    Asked before torch is installed, when its build is not known yet.
    """
    any_build = wheel_key('?', mmcv).replace('torch?', f'torch{torch}*')
    return any(root.glob(f'{any_build}/mmcv-*.whl'))


def store_wheel(root: Path, key: str, wheel: Path) -> Path:
    """Copy a finished wheel into the cache, under its name only once it is whole.

    Returns:
        The cached wheel.
    """
    folder = root / key
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f'.{wheel.name}.{os.getpid()}'
    try:
        shutil.copyfile(wheel, temporary)
        os.replace(temporary, folder / wheel.name)
    finally:
        temporary.unlink(missing_ok=True)
    return folder / wheel.name
