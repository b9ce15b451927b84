from __future__ import annotations

import importlib.machinery
import types

import pytest
import torch

from mm3dpretrain.compat import torchvision_ops


def found_torchvision(folder):
    """The module as the import system hands it over, in a folder without a usable library."""
    module = types.ModuleType('torchvision')
    module.__spec__ = importlib.machinery.ModuleSpec('torchvision', None, is_package=True)
    module.__spec__.submodule_search_locations = [str(folder)]
    return module


@pytest.fixture
def defined(monkeypatch):
    """Names that would be defined; the process's real operators stay as they are."""
    names = []

    class Library:
        def __init__(self, namespace, kind):
            assert namespace == 'torchvision'

        def define(self, schema):
            names.append(schema.partition('(')[0])

    monkeypatch.setattr(torch.library, 'Library', Library)
    monkeypatch.setattr(torchvision_ops, '_LIBRARIES', [])
    return names


@pytest.fixture
def cpu_torch(monkeypatch):
    monkeypatch.setattr(torch.version, 'cuda', None)
    monkeypatch.setattr(torch.version, 'hip', None)


def test_defines_both_where_the_library_cannot_load(tmp_path, defined, cpu_torch, monkeypatch):
    (tmp_path / '_C.so').write_bytes(b'not a library')
    monkeypatch.setattr(torchvision_ops, '_is_defined', lambda name: False)
    torchvision_ops.define_missing_ops(found_torchvision(tmp_path))
    assert defined == ['nms', 'qnms']


def test_defines_only_what_is_missing(tmp_path, defined, cpu_torch, monkeypatch):
    monkeypatch.setattr(torchvision_ops, '_is_defined', lambda name: name == 'nms')
    torchvision_ops.define_missing_ops(found_torchvision(tmp_path))
    assert defined == ['qnms']


def test_leaves_native_operators_alone(tmp_path, defined, cpu_torch, monkeypatch):
    monkeypatch.setattr(torchvision_ops, 'native_ops_load', lambda folder: True)
    torchvision_ops.define_missing_ops(found_torchvision(tmp_path))
    assert defined == []


def test_leaves_a_cuda_torch_alone(tmp_path, defined, monkeypatch):
    monkeypatch.setattr(torch.version, 'cuda', '13.0')
    monkeypatch.setattr(torchvision_ops, '_is_defined', lambda name: False)
    torchvision_ops.define_missing_ops(found_torchvision(tmp_path))
    assert defined == []
