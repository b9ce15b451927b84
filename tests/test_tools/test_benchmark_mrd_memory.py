"""The benchmark runs and reports both halves, at a size that measures nothing."""

from __future__ import annotations

import json

import pytest

from tools.analysis_tools import benchmark_mrd_memory as tool


def test_losses(tmp_path, capsys):
    out = tmp_path / 'figures.json'
    options = ['--batch', '64', '--dim', '8', '--only', 'relations', '--threads', '1']
    assert tool.main(['losses', *options, '--json', str(out)]) == 0
    (row,) = json.loads(out.read_text())['rows']
    assert row['loss'] == 'relations' and row['seconds'] > 0 and row['extra_mib'] < 100
    assert 'batch 64, width 8' in capsys.readouterr().out


def test_step(tmp_path):
    out = tmp_path / 'figures.json'
    options = ['--shapes', '8', '--batch', '4', '--dim', '16', '--points', '64', '--rounds', '1']
    assert tool.main(['step', *options, '--threads', '1', '--json', str(out)]) == 0
    rows = json.loads(out.read_text())['rows']
    assert [row['side'] for row in rows] == ['cache', 'no teacher']
    assert all(row['samples_per_second'] > 0 for row in rows)


def test_bad_options():
    with pytest.raises(SystemExit):
        tool.main(['step', '--shapes', '2', '--batch', '4'])
