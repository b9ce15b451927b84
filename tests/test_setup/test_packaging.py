"""What ``pip install`` is told: nothing that could replace the torch that is there."""

from __future__ import annotations

import re
import runpy
from importlib import metadata
from pathlib import Path

import pytest
import setuptools

import mm3dpretrain

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def arguments(monkeypatch):
    """Runs ``setup.py`` and returns what it passes to setuptools."""

    def run() -> dict:
        caught = {}
        monkeypatch.setattr(setuptools, 'setup', caught.update)
        runpy.run_path(str(ROOT / 'setup.py'))
        return caught

    monkeypatch.chdir(ROOT)
    return run


def names(requirements: list[str]) -> set[str]:
    return {re.match(r'[\w.-]+', line)[0].lower().replace('_', '-') for line in requirements}


def test_installation_asks_for_no_torch(arguments):
    needed = names(arguments()['install_requires'])
    assert not needed & {'torch', 'torchvision', 'timm', 'open-clip-torch', 'mmcv', 'spconv'}
    assert 'mmengine' in needed


def test_extras_that_bring_torchvision_keep_the_torch_that_is_there(arguments):
    version = metadata.version('torch')
    extras = arguments()['extras_require']
    assert f'torch=={version}' in extras['clip'] and f'torch=={version}' in extras['all']
    assert set(extras) == {'det3d', 'clip', 'sparse', 'eval', 'shards', 'dev', 'all'}
    for name in ('det3d', 'clip', 'sparse', 'eval', 'shards', 'dev'):
        assert extras[name] and set(extras[name]) <= set(extras['all'])


def test_without_torch_there_is_nothing_to_keep(arguments, monkeypatch, tmp_path):
    import sysconfig

    monkeypatch.setattr(sysconfig, 'get_path', lambda *args: str(tmp_path))
    assert 'torch' not in names(arguments()['extras_require']['all'])


def test_version_and_packages(arguments):
    found = arguments()
    assert found['version'] == mm3dpretrain.__version__
    assert found['python_requires'] == '>=3.10'
    folders = {
        str(path.parent.relative_to(ROOT)).replace('/', '.')
        for path in (ROOT / 'mm3dpretrain').rglob('__init__.py')
    }
    assert set(found['packages']) == folders


def test_every_runtime_requirement_is_in_the_lock():
    lock = names(
        [
            line
            for line in (ROOT / 'requirements' / 'lock.txt').read_text().splitlines()
            if line and not line.startswith('#')
        ]
    )
    for extra in ('runtime', 'det3d', 'clip', 'sparse', 'eval', 'shards'):
        lines = (ROOT / 'requirements' / f'{extra}.txt').read_text().splitlines()
        wanted = names([line for line in lines if line and not line.startswith('#')])
        assert wanted - {'setuptools'} <= lock, extra
