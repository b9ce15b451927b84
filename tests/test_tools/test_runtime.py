"""What commands set before they build anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import torch
from mmengine.config import Config
from mm3dpretrain.utils import prepare_runtime
prepare_runtime(Config())
import numba
@numba.njit(parallel=True)
def double(x):
    for i in numba.prange(len(x)):
        x[i] *= 2
double(torch.ones(8).numpy())
print(torch.get_num_threads())
"""


def test_numba_leaves_the_threads_of_torch_alone():
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    env.pop('NUMBA_NUM_THREADS', None)
    found = subprocess.run(
        [sys.executable, '-c', CODE], env=env, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ['1']
