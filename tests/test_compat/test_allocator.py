from __future__ import annotations

import platform
import subprocess
import sys
import types

import pytest
import torch

from mm3dpretrain.compat import allocator, set_cpu_ops

PROBE = """
import resource, torch, sys
from mm3dpretrain.compat.allocator import keep_freed_memory
if sys.argv[1] == 'keep':
    print(keep_freed_memory())
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(20_000_000)  # 80 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
for _ in range(3):
    faults()
print(faults() < 1000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='glibc only')
@pytest.mark.parametrize(('mode', 'printed'), [('keep', ['True', 'True']), ('not', ['False'])])
def test_freed_blocks_are_used_again(mode, printed):
    done = subprocess.run([sys.executable, '-c', PROBE, mode], capture_output=True, text=True)
    assert done.stdout.split() == printed, done.stderr


@pytest.mark.parametrize(
    ('mode', 'memory', 'kept'), [('on', 16e9, True), ('on', 8e9, False), ('off', 64e9, False)]
)
def test_only_for_the_cpu_and_with_enough_memory(mode, memory, kept, monkeypatch):
    calls = []
    monkeypatch.setattr(allocator, 'keep_freed_memory', lambda: calls.append(1))
    monkeypatch.setattr(allocator, 'physical_memory', lambda: memory)
    try:
        set_cpu_ops(mode)
        allocator.mend_allocator(types.ModuleType('mmdet3d.models'))
    finally:
        set_cpu_ops(None)
    assert bool(calls) == kept


def test_memory_of_the_machine_is_plausible():
    assert allocator.physical_memory() > torch.zeros(1000).nbytes
