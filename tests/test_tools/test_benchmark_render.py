"""The renderer's benchmark runs and writes its figures."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def benchmark():
    path = ROOT / 'tools' / 'analysis_tools' / 'benchmark_render.py'
    spec = importlib.util.spec_from_file_location('benchmark_render', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_smallest_case_with_all_twins(benchmark, tmp_path, capsys):
    threads = torch.get_num_threads()
    try:
        arguments = ['--cases', '5', '--repeats', '1', '--threads', '1']
        assert benchmark.main([*arguments, '--json', str(tmp_path / 'out.json')]) == 0
    finally:
        torch.set_num_threads(threads)
    report = json.loads((tmp_path / 'out.json').read_text())
    results = report['cases'][0]['results']
    assert {'ours, cosine', 'ours, plain torch', 'naive twin'} <= set(results)
    assert all(figures['min_ms'] > 0 for figures in results.values())
    assert results['naive twin']['ratio'] > 10
    assert '32 points' in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason='shows what happens without CUDA')
def test_missing_device_is_named(benchmark, capsys):
    assert benchmark.main(['--device', 'cuda']) == 1
    assert 'no CUDA device' in capsys.readouterr().err


def test_smallest_case_of_meshes(benchmark, tmp_path, capsys):
    threads = torch.get_num_threads()
    try:
        arguments = ['--what', 'meshes', '--cases', '4', '--repeats', '1', '--threads', '1']
        assert benchmark.main([*arguments, '--json', str(tmp_path / 'out.json')]) == 0
    finally:
        torch.set_num_threads(threads)
    report = json.loads((tmp_path / 'out.json').read_text())
    assert report['what'] == 'meshes'
    results = report['cases'][0]['results']
    assert {'ours, forward', 'plain torch, both', 'naive twin, forward'} <= set(results)
    assert results['naive twin, forward']['ratio'] > 3
    assert '48 faces, 1 views of 16 x 16' in capsys.readouterr().out


def test_unknown_cases_are_refused(benchmark, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(['--what', 'meshes', '--cases', '5'])
    assert 'from 1 to 4' in capsys.readouterr().err
