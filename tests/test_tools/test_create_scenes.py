"""The commands that write SyntheticRooms and SyntheticStreets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.dataset_converters import create_synthetic_rooms, create_synthetic_streets

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    create_synthetic_rooms: ['--image-size', '48', '64', '--frames', '2', '--num-points', '2000'],
    create_synthetic_streets: ['--image-size', '64', '200', '--beams', '8', '--columns', '300'],
}
MODULES = list(SMALL)


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


@pytest.mark.parametrize('module', MODULES)
def test_help_and_wrong_input(module, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        module.main(['--help'])
    assert stop.value.code == 0
    assert '--workers' in capsys.readouterr().out
    out = str(tmp_path / 'out')
    for wrong, message in (
        (['--num', '0'], 'nothing to write'),
        (['--val-share', '1.5'], '--val-share must be in [0, 1]'),
        (['--workers', '0'], 'workers must be at least 1'),
    ):
        assert module.main(['--out', out, *wrong]) == 1
        error = capsys.readouterr().err
        assert error.startswith('error: ') and message in error and 'Traceback' not in error


@pytest.mark.parametrize('module', MODULES)
def test_writes_and_refuses_other_settings(module, tmp_path, capsys):
    out, report = tmp_path / 'out', tmp_path / 'report.json'
    arguments = ['--out', str(out), '--num', '2', '--val-share', '0.5', '--workers', '1']
    arguments += [*SMALL[module], '--json', str(report)]
    assert module.main(arguments) == 0
    summary = json.loads(report.read_text())
    assert summary['scenes'] == summary['written'] == 2
    assert summary['parameters']['train'] == summary['parameters']['val'] == 1
    assert ' 2 written in ' in capsys.readouterr().out.replace('(', ' ')
    assert module.main(arguments) == 0
    assert json.loads(report.read_text())['written'] == 0
    assert module.main([*arguments, '--seed', '1']) == 1
    assert 'seed 0 there, 1 asked' in capsys.readouterr().err


def test_goes_on_after_a_kill(tmp_path):
    """A run that is killed in the middle ends, when started again, with the same files."""
    script = ROOT / 'tools/dataset_converters/create_synthetic_rooms.py'
    arguments = ['--num', '6', '--workers', '2', *SMALL[create_synthetic_rooms]]
    killed, whole = tmp_path / 'killed', tmp_path / 'whole'
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(script), '--out', str(killed), *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if len(list(killed.glob('records/*.json'))) >= 2:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list(killed.glob('records/room*.json'))) >= 2
    for out in (killed, whole):
        assert create_synthetic_rooms.main(['--out', str(out), *arguments]) == 0
    assert files(killed) == files(whole)
