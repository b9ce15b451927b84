"""Compilation and threading of the CPU kernels.

Numba is imported by the kernel modules only, at the first call that needs them. Kernels are
serial and release the GIL; clouds or queries are spread over Python threads. Numba's own thread
layers are avoided on purpose: they do not survive ``fork``, which data loader workers do.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

try:
    import numba
except ImportError as error:  # pragma: no cover
    raise ImportError(
        'The CPU kernels of mm3dpretrain.ops need numba: pip install numba. '
        "Without it, mm3dpretrain.ops.set_backend('torch') uses plain PyTorch."
    ) from error

# One worker pool per process: threads do not exist on the other side of a fork.
_pools: dict[int, ThreadPoolExecutor] = {}


def kernel(function: Callable) -> Callable:
    """Compile at the first call, without the GIL, and keep the machine code on disk.

    No reassociation and no fused multiply-add, so that distances equal those of the naive twins
    bit for bit; 'no NaN' only lets minima and maxima be vectorised (inputs are checked).
    """
    options = dict(nogil=True, fastmath={'nnan', 'nsz'}, error_model='numpy')
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return numba.njit(**options)(function)


def spread(task: Callable, jobs: Sequence[tuple], work: float) -> None:
    """Call ``task(*job)`` for every job on as many threads as PyTorch uses.

    Args:
        task (Callable): releases the GIL.
        jobs (Sequence[tuple]): independent argument tuples.
        work (float): rough number of seconds of all jobs; little work stays on this thread.
    """
    threads = min(torch.get_num_threads(), len(jobs)) if work > 1e-4 else 1
    if threads == 1:
        for job in jobs:
            task(*job)
        return
    queue, ticket = list(jobs), itertools.count()

    def drain() -> None:
        while (turn := next(ticket)) < len(queue):
            task(*queue[turn])

    pool = _pools.get(os.getpid())
    if pool is None or pool._max_workers < threads - 1:
        _pools.clear()
        pool = _pools[os.getpid()] = ThreadPoolExecutor(threads - 1, 'mm3d-ops')
    helpers = [pool.submit(drain) for _ in range(threads - 1)]
    try:
        drain()
    finally:
        for helper in helpers:
            helper.result()


def ranges(total: int, parts: int) -> list[tuple[int, int]]:
    """Split ``range(total)`` into at most ``parts`` runs of nearly equal length."""
    parts = max(1, min(parts, total))
    cuts = [total * i // parts for i in range(parts + 1)]
    return list(zip(cuts[:-1], cuts[1:]))
