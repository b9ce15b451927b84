from __future__ import annotations

import platform
import sys
import zipfile

import pytest

from tools.setup import wheels


def make_wheel(path, names=('mmcv/__init__.py', 'mmcv/_ext.so')):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name in names:
            archive.writestr(name, 'x' * 100)
    return path


def test_root_follows_xdg():
    assert wheels.cache_root({'XDG_CACHE_HOME': '/a', 'HOME': '/b'}).as_posix() == (
        '/a/mm3dpretrain/wheels'
    )
    for environ in ({'HOME': '/b'}, {'HOME': '/b', 'XDG_CACHE_HOME': 'relative'}):
        assert wheels.cache_root(environ).as_posix() == '/b/.cache/mm3dpretrain/wheels'


def test_key_holds_all_that_a_wheel_depends_on():
    key = wheels.wheel_key('2.13.0+cpu', '2.1.0')
    assert f'cp{sys.version_info[0]}{sys.version_info[1]}' in key
    assert 'torch2.13.0+cpu' in key and 'mmcv2.1.0' in key
    assert platform.machine().lower() in key
    others = {
        wheels.wheel_key('2.13.0+cu130', '2.1.0'),
        wheels.wheel_key('2.12.0+cpu', '2.1.0'),
        wheels.wheel_key('2.13.0+cpu', '2.0.1'),
        wheels.wheel_key('2.13.0+cpu', '2.1.0', kind='cu130'),
    }
    assert len(others | {key}) == 5


def test_store_and_find(tmp_path):
    built = make_wheel(tmp_path / 'build' / 'mmcv-2.1.0-x.whl')
    root, key = tmp_path / 'cache', wheels.wheel_key('2.13.0+cpu', '2.1.0')
    assert wheels.find_wheel(root, key) is None
    stored = wheels.store_wheel(root, key, built)
    assert wheels.find_wheel(root, key) == stored
    assert [path.name for path in stored.parent.iterdir()] == ['mmcv-2.1.0-x.whl']
    assert wheels.find_wheel(root, wheels.wheel_key('2.14.0+cpu', '2.1.0')) is None


def test_interrupted_copy_never_counts(tmp_path, monkeypatch):
    built = make_wheel(tmp_path / 'build' / 'mmcv-2.1.0-x.whl')

    def interrupted(source, target):
        target.write_bytes(b'half')
        raise KeyboardInterrupt

    monkeypatch.setattr(wheels.shutil, 'copyfile', interrupted)
    with pytest.raises(KeyboardInterrupt):
        wheels.store_wheel(tmp_path, 'key', built)
    assert list((tmp_path / 'key').iterdir()) == []


@pytest.mark.parametrize('damage', ['truncated', 'without operators'])
def test_damaged_wheel_is_removed(tmp_path, damage):
    wheel = make_wheel(tmp_path / 'key' / 'mmcv-2.1.0-x.whl')
    if damage == 'truncated':
        wheel.write_bytes(wheel.read_bytes()[:-40])
    else:
        make_wheel(wheel, names=('mmcv/__init__.py',))
    assert wheels.find_wheel(tmp_path, 'key') is None
    assert not wheel.exists()


def test_any_build_of_the_torch_version_may_serve(tmp_path):
    make_wheel(tmp_path / wheels.wheel_key('2.13.0+cpu', '2.1.0') / 'mmcv-2.1.0-x.whl')
    assert wheels.may_have_wheel(tmp_path, '2.13.0', '2.1.0')
    assert not wheels.may_have_wheel(tmp_path, '2.12.0', '2.1.0')
    assert not wheels.may_have_wheel(tmp_path, '2.13.0', '2.0.1')
