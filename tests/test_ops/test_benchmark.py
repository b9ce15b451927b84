"""The benchmark script runs, prints a table and writes its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'benchmark_ops.py'


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, timeout=300
    )


def test_table_and_json(tmp_path):
    output = run('--ops', 'group', '--repeats', '1', '--threads', '1', '--json', f'{tmp_path}/x')
    assert output.returncode == 0, output.stderr
    figures = json.loads((tmp_path / 'x').read_text())
    assert figures['threads'] == 1 and len(figures['rows']) == 4
    assert {row['contestant'] for row in figures['rows']} == {'ours', 'naive twin'}
    for row in figures['rows']:
        assert 0 < row['min_ms'] <= row['median_ms']
        assert f'{row["median_ms"]:.2f} ms' in output.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / 'x']


def test_wrong_arguments():
    assert 'invalid choice' in run('--ops', 'sorting').stderr
    assert 'must be at least 1' in run('--repeats', '0').stderr
