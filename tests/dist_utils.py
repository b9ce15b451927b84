"""Run a function in several processes that talk over gloo."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed as torch_dist
from torch import multiprocessing as mp


def _worker(rank: int, world_size: int, folder: str, function: Callable, args: tuple) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world_size), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)
    torch_dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world_size
    )
    try:
        result = function(rank, world_size, *args)
        (Path(folder) / f'{rank}.pkl').write_bytes(pickle.dumps(result))
    finally:
        torch_dist.destroy_process_group()


def run_distributed(function: Callable, world_size: int = 2, args: tuple = ()) -> list:
    """Results of ``function(rank, world_size, *args)``, one for each process.

    Processes are forked, so that the function may be defined anywhere in a test module.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(
            _worker,
            args=(world_size, folder, function, args),
            nprocs=world_size,
            start_method='fork',
        )
        return [pickle.loads((Path(folder) / f'{r}.pkl').read_bytes()) for r in range(world_size)]
