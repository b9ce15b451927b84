"""What every command does before it builds anything from a config."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from .plugins import load_plugins


def prepare_runtime(config: str | os.PathLike | Config, options: dict | None = None) -> Config:
    """Read a config, enter its scope and import its plug-ins.

    Args:
        config: path of a config file, or a config.
        options: values that replace those of the file (``--cfg-options``).

    Returns:
        The config, its ``custom_imports`` done.

    Raises:
        FileNotFoundError: if the file does not exist.
    """
    if not isinstance(config, Config):
        path = Path(config)
        if not path.is_file():
            raise FileNotFoundError(f'config file {str(path)!r} does not exist')
        config = Config.fromfile(path)
    if options:
        config.merge_from_dict(options)
    init_default_scope(config.get('default_scope', 'mm3dpretrain'))
    _share_threads_with_numba()
    load_plugins()
    _allow_open_files()
    return config


def _share_threads_with_numba() -> None:
    """As many threads for Numba as for torch, before anything imports it.

    Its first parallel function, such as that of the KITTI evaluation, sets the number of threads of
    the process. With another number torch sums in another order, and trainings behind a test no
    longer equal those of the same seed elsewhere.
    """
    if 'numba' not in sys.modules:
        os.environ.setdefault('NUMBA_NUM_THREADS', str(torch.get_num_threads()))


def _allow_open_files(wanted: int = 65536) -> None:
    """Raise the soft limit of open files: every tensor that a loader process sends costs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
