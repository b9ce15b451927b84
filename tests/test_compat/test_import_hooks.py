from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest

from mm3dpretrain.compat.import_hooks import when_imported


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package on the path whose name no other test uses."""
    name = f'hooked_{tmp_path.name.replace("-", "_")}'
    folder = tmp_path / name
    folder.mkdir()
    (folder / '__init__.py').write_text('state = ["executed"]\n')
    (folder / 'part.py').write_text('value = 1\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [m for m in sys.modules if m.partition('.')[0] == name]:
        del sys.modules[module]


def test_before_and_after_frame_the_execution(package):
    seen = []
    when_imported(
        package,
        before=lambda module: seen.append(('before', hasattr(module, 'state'), module.__path__[0])),
        after=lambda module: seen.append(('after', module.state)),
    )
    assert seen == []
    module = importlib.import_module(package)
    assert [entry[:2] for entry in seen] == [('before', False), ('after', ['executed'])]
    assert seen[0][2].endswith(package)
    assert type(module.__loader__).__name__ == 'SourceFileLoader'
    assert module.__spec__.loader is module.__loader__


def test_looking_for_a_module_does_not_call_back(package):
    seen = []
    when_imported(package, before=seen.append, after=seen.append)
    assert importlib.util.find_spec(package).origin.endswith('__init__.py')
    assert seen == []


def test_submodule_is_mended_and_its_parent_is_not(package):
    def mend(module):
        module.value = 2

    when_imported(f'{package}.part', after=mend)
    assert importlib.import_module(f'{package}.part').value == 2
    assert not hasattr(importlib.import_module(package), 'value')


def test_module_that_is_there_already_and_double_registration(package):
    calls = []
    module = importlib.import_module(package)
    for _ in range(2):
        when_imported(package, after=calls.append)
    assert calls == [module]


def test_error_of_a_callback_reaches_the_import_statement(package):
    def refuse(module):
        raise RuntimeError('does not fit')

    when_imported(package, before=refuse)
    with pytest.raises(RuntimeError, match='does not fit'):
        importlib.import_module(package)
    assert package not in sys.modules


def test_missing_module_stays_missing():
    when_imported('no_such_package_anywhere', before=lambda module: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('no_such_package_anywhere')
