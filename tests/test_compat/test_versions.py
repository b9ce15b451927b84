from __future__ import annotations

import subprocess
import sys

import pytest

from mm3dpretrain.compat import VersionError, check_versions, versions

GOOD = {
    'torch': '2.13.0+cpu',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmdet': '3.3.0',
    'mmdet3d': '1.4.0',
}


def pretend(monkeypatch, **changed):
    found = {**GOOD, **changed}
    monkeypatch.setattr(versions, 'installed_version', found.get)


def test_the_locked_stack_fits(monkeypatch):
    pretend(monkeypatch)
    assert check_versions('mmdet3d') == GOOD


@pytest.mark.parametrize(
    ('package', 'version', 'bound'),
    [
        ('mmcv', '2.2.0', '>=2.0.0rc4,<2.2.0'),
        ('mmcv', '1.7.1', '>=2.0.0rc4,<2.2.0'),
        ('mmdet', '3.4.0', '>=3.0.0rc5,<3.4.0'),
        ('mmdet3d', '1.3.0', '>=1.4.0,<1.5.0'),
        ('torch', '2.0.1+cu118', '>=2.1.0'),
        ('mmengine', '1.0.0', '>=0.10.4,<1.0.0'),
    ],
)
def test_message_has_versions_reason_and_command(monkeypatch, package, version, bound):
    pretend(monkeypatch, **{package: version})
    with pytest.raises(VersionError) as caught:
        check_versions('mmdet3d')
    text = str(caught.value)
    row = next(line for line in text.splitlines() if line.startswith(f'  {package} '))
    assert version in row and bound in row and row.endswith('<--')
    assert sum(line.endswith('<--') for line in text.splitlines()) == 1
    assert 'Why: ' in text and 'pip install' in text


@pytest.mark.parametrize('version', ['2.0.0rc4', '2.0.1', '2.1.0'])
def test_bounds_include_what_mmdet3d_includes(monkeypatch, version):
    pretend(monkeypatch, mmcv=version)
    assert check_versions('mmdet3d')['mmcv'] == version


def test_missing_package_is_called_missing(monkeypatch):
    pretend(monkeypatch, mmcv=None)
    with pytest.raises(VersionError, match='missing'):
        check_versions('mmdet')
    assert check_versions('mm3dpretrain') == {k: GOOD[k] for k in ('torch', 'mmengine')}


def test_unknown_package():
    with pytest.raises(ValueError, match='mmpose'):
        check_versions('mmpose')


def test_import_of_mmdet3d_gives_the_message_and_not_an_assertion(tmp_path):
    (tmp_path / 'mmcv').mkdir()
    (tmp_path / 'mmcv' / '__init__.py').write_text("__version__ = '2.2.0'\n")
    (tmp_path / 'mmdet3d').mkdir()
    (tmp_path / 'mmdet3d' / '__init__.py').write_text('assert False\n')
    code = f'import sys; sys.path.insert(0, {str(tmp_path)!r}); import mmcv, mm3dpretrain, mmdet3d'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert 'mmdet3d cannot be used' in done.stderr and '2.2.0' in done.stderr
    assert 'AssertionError' not in done.stderr
