"""Importing the package is cheap and makes the stack importable (seen from fresh processes)."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch

HEAVY = {
    *('nuscenes', 'lyft_dataset_sdk', 'open3d', 'mmcv', 'mmdet', 'mmdet3d', 'spconv'),
    *('torchvision', 'timm', 'open_clip', 'sklearn', 'scipy', 'numba', 'pandas'),
    *('trimesh', 'h5py', 'matplotlib', 'pykdtree', 'fpsample'),
}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_import_pulls_in_nothing_heavy():
    base = set(run('import torch, mmengine, sys; print(*sys.modules)').split())
    ours = set(run('import mm3dpretrain, sys; print(*sys.modules)').split())
    new = {name.partition('.')[0] for name in ours - base}
    assert not new & HEAVY


def test_import_costs_less_than_three_seconds():
    # Inside one process, so that start-up and disk caches do not blur the difference.
    seconds = float(
        run(
            'import torch, mmengine, time; start = time.perf_counter(); import mm3dpretrain; '
            'print(time.perf_counter() - start)'
        )
    )
    assert seconds < 3.0


def test_no_warning_on_import():
    code = 'import mm3dpretrain; from mmengine.utils import is_installed; is_installed("torch")'
    done = subprocess.run(
        [sys.executable, '-W', 'default', '-c', code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0
    assert 'pkg_resources is deprecated' not in done.stderr


def installed(*names: str) -> list[str]:
    found = [name for name in names if importlib.util.find_spec(name)]
    if not found:
        pytest.skip(f'none of {names} is installed')
    return found


def test_image_and_text_libraries_import_beside_this_torch():
    names = installed('torchvision', 'timm', 'open_clip')
    out = run(
        f'import mm3dpretrain, {", ".join(names)}, sys; '
        'print(type(sys.modules["torchvision"].__loader__).__name__)'
    )
    assert out.strip() == 'SourceFileLoader'  # the real loader is back in its place


@pytest.mark.skipif(torch.version.cuda is not None, reason='about a torch without CUDA')
def test_missing_torchvision_operator_still_explains_itself():
    installed('torchvision')
    out = run(
        'import mm3dpretrain, torch, torchvision\n'
        'boxes = torch.tensor([[0., 0., 1., 1.]])\n'
        'try:\n'
        '    print(torchvision.ops.nms(boxes, torch.ones(1), 0.5).tolist())\n'
        'except RuntimeError as error:\n'
        '    print(error)\n'
    )
    assert out.strip() == '[0]' or "Couldn't load custom C++ ops" in out


def test_mmdet3d_imports_after_the_package():
    installed('mmcv')
    installed('mmdet3d')
    run('import mm3dpretrain, mmdet3d.models, mmdet3d.datasets, mmdet3d.apis, mmdet3d.evaluation')
