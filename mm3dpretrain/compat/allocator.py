"""Training on the CPU without asking the system for the same memory again at every step.

The C library of Linux maps each block above 32 MB anew and unmaps it when it is freed. A step of a
point network allocates tens of such blocks, and touching fresh pages took half of the time of a
step of VoteNet. Told not to, the library keeps freed memory for the next step instead. The price
is memory: blocks of many sizes share one heap then (VoteNet's default step: 10 GB, else 5 GB).
"""

from __future__ import annotations

import ctypes
import os
import platform
from types import ModuleType

from .cpu_switch import cpu_ops_enabled

# From <malloc.h>: keep what is freed at the top of the heap, and map no block on its own.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
ENOUGH = 15e9  # bytes of a machine that can spare some: '16 GB', less what its firmware takes


def keep_freed_memory() -> bool:
    """Let this process keep freed memory; how much it holds then is the most it ever needed.

    Returns:
        Whether that took effect: with glibc, unless another allocator was loaded before it.
    """
    if platform.libc_ver()[0] != 'glibc':
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_TRIM_THRESHOLD, -1) and mallopt(M_MMAP_MAX, 0))


def physical_memory() -> int:
    """Bytes of memory of this machine; 0 where the system does not tell."""
    try:
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    except (AttributeError, OSError, ValueError):
        return 0


def mend_allocator(module: ModuleType) -> None:
    """Keep freed memory where mmdet3d's models are to run on the CPU, of a machine with 16 GB.

    Args:
        module: ``mmdet3d.models``, imported.
    """
    if cpu_ops_enabled() and physical_memory() >= ENOUGH:
        keep_freed_memory()
