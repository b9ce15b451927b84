"""Files that are computed once from the data and then shared by every process."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

LOCK_POLL_SECONDS = 0.5


def cache_name(name: str, **parameters) -> str:
    """``name`` with a hash of everything that the content depends on."""
    text = json.dumps(parameters, sort_keys=True)
    return f'{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}'


def build_once(folder: str | os.PathLike, build: Callable[[Path], None]) -> bool:
    """Make ``folder`` with ``build`` unless it is there; other processes wait for it.

    ``build`` writes into a temporary folder beside it, which is renamed at the end, so that
    ``folder`` is complete whenever it exists. The lock is released by the system when its holder
    dies; whoever comes next starts anew.

    Args:
        folder: to be made.
        build: called with the temporary folder.

    Returns:
        Whether this call made it.

    Raises:
        OSError: if the disk is full or not writable; the message names the folder.
    """
    folder = Path(folder)
    if folder.is_dir():
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f'.{folder.name}.lock')):
            if folder.is_dir():
                return False
            temporary = folder.with_name(f'.{folder.name}.tmp')
            # what a killed build left; nobody else writes there while we hold the lock
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            try:
                build(temporary)
                os.replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if error.filename is None or str(folder.parent) in str(error.filename):
            raise OSError(
                error.errno, f'cannot write the cache {folder}: {error.strerror}; set cache_dir'
            ) from error
        raise
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path``."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system: a folder is the lock
        while True:
            try:
                path.mkdir()
                break
            except FileExistsError:
                time.sleep(LOCK_POLL_SECONDS)
        try:
            yield
        finally:
            path.rmdir()
        return
    with open(path, 'w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def rows_writer(
    path: str | os.PathLike, shape: tuple[int, ...], dtype: np.dtype | type
) -> Iterator[np.ndarray]:
    """A new ``.npy`` file of ``shape``, to be filled row by row without holding it in memory."""
    rows = np.lib.format.open_memmap(path, mode='w+', dtype=dtype, shape=shape)
    yield rows
    rows.flush()
