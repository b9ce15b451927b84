"""The switch, and the order of imports."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import pytest
import torch

from mm3dpretrain import compat
from mm3dpretrain.compat import cpu_ops_enabled, cpu_switch, mmcv_cpu, set_cpu_ops


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.delenv(cpu_switch.VARIABLE, raising=False)
    yield
    set_cpu_ops(None)


@pytest.mark.parametrize(
    ('mode', 'cuda', 'enabled'),
    [
        ('auto', False, True),
        ('auto', True, False),
        ('on', True, True),
        ('on', False, True),
        ('off', False, False),
        ('off', True, False),
    ],
)
def test_modes(mode, cuda, enabled, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    compat.apply(cpu_ops=mode)
    assert cpu_ops_enabled() == enabled
    set_cpu_ops(None)
    monkeypatch.setenv(cpu_switch.VARIABLE, mode)
    assert cpu_ops_enabled() == enabled


def test_unknown_modes_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="cpu_ops must be one of auto, on, off, got 'yes'"):
        set_cpu_ops('yes')
    monkeypatch.setenv(cpu_switch.VARIABLE, '1')
    with pytest.raises(ValueError, match="MM3D_CPU_OPS must be one of auto, on, off, got '1'"):
        cpu_ops_enabled()


def test_only_cpu_tensors_are_served():
    set_cpu_ops('on')
    here, elsewhere = torch.zeros(1), torch.zeros(1, device='meta')
    assert cpu_switch.serves(here, 3, here)
    assert not cpu_switch.serves(here, elsewhere)


def test_other_devices_reach_the_original():
    calls = []
    name = 'points_in_boxes_all_forward'
    module = types.SimpleNamespace(**{name: lambda *args: calls.append(len(args))})
    mmcv_cpu.mend_extension(module)
    mended = getattr(module, name)
    mmcv_cpu.mend_extension(module)
    assert getattr(module, name) is mended
    there = torch.zeros(1, 2, 7, device='meta')
    set_cpu_ops('on')
    mended(there, there, there)
    set_cpu_ops('off')
    mended(torch.zeros(1, 2, 7), torch.zeros(1, 4, 3), torch.zeros(1, 4, 2))
    assert calls == [3, 3]


def test_switched_off_mmcv_is_as_it_was():
    mmcv_ops = pytest.importorskip('mmcv.ops')
    if torch.cuda.is_available():
        pytest.skip('only without CUDA do these fail')
    xyz, features = torch.rand(1, 9, 3), torch.rand(1, 2, 9)
    idx = torch.zeros(1, 2, dtype=torch.int32)
    set_cpu_ops('off')
    for call in (
        lambda: mmcv_ops.furthest_point_sample(xyz, 3),
        lambda: mmcv_ops.knn(2, xyz),
        lambda: mmcv_ops.points_in_boxes_all(xyz, torch.rand(1, 2, 7)),
        lambda: mmcv_ops.gather_points(features, idx),
    ):
        with pytest.raises((RuntimeError, TypeError, AssertionError), match='cpu|CUDA'):
            call()
    set_cpu_ops('auto')
    assert mmcv_ops.knn(2, xyz).shape == (1, 2, 9)


@pytest.mark.parametrize('first', ['mm3dpretrain', 'mmdet3d.structures'])
def test_works_whichever_package_is_imported_first(first):
    pytest.importorskip('mmdet3d')
    code = f"""
import {first}
import mm3dpretrain, torch
from mmcv.ops import furthest_point_sample
from mmdet3d.structures import LiDARInstance3DBoxes
print(furthest_point_sample(torch.rand(1, 9, 3), 3).shape)
print(LiDARInstance3DBoxes(torch.rand(2, 7)).points_in_boxes_part(torch.rand(9, 3)).shape)
"""
    env = {**os.environ, cpu_switch.VARIABLE: 'on', 'PYTHONWARNINGS': 'ignore'}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env)
    assert done.stdout.split('\n')[:2] == ['torch.Size([1, 3])', 'torch.Size([9])'], done.stderr
