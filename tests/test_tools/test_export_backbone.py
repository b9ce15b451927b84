import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_parts import save_toy_checkpoint

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'export_backbone.py'


def run(*arguments) -> subprocess.CompletedProcess:
    """The tool as a process: its exit status is its contract with scripts."""
    code = f'import sys; sys.path.insert(0, {str(ROOT / "tests")!r}); import toy_parts, runpy; '
    code += f'sys.argv = ["x", *{[str(a) for a in arguments]!r}]; '
    code += f'runpy.run_path({str(TOOL)!r}, run_name="__main__")'
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    save_toy_checkpoint(path)
    return path


def test_success(checkpoint, tmp_path):
    out, file = tmp_path / 'encoder.pth', tmp_path / 'counts.json'
    done = run(checkpoint, '--out', out, '--json', file)
    assert done.returncode == 0, done.stderr
    assert '9 matched, 0 missing, 0 unexpected, 0 of another shape' in done.stdout
    assert 'bit-equal' in done.stdout
    assert json.loads(file.read_text())['matched'] == 9
    assert 'first.weight' in torch.load(out)['state_dict']


def test_no_match_fails_and_writes_nothing(checkpoint, tmp_path):
    target = tmp_path / 'target.py'
    target.write_text(
        "model = dict(type='ClassificationHead', in_channels=3, num_classes=2, hidden_channels=())"
    )
    out = tmp_path / 'encoder.pth'
    done = run(checkpoint, '--out', out, '--target', target)
    assert done.returncode == 1 and not out.exists()
    assert 'error: ' in done.stderr
    assert 'matches no weight' in done.stderr and 'Traceback' not in done.stderr
