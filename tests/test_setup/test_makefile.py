from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which('make') is None, reason='make is not installed')


def make(*arguments: str) -> str:
    # A make that runs these tests must not hand its own settings down.
    env = {k: v for k, v in os.environ.items() if k not in ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')}
    env = {k: v for k, v in env.items() if k not in ('ARGS', 'METHOD', 'PYTHON', 'WORKERS')}
    done = subprocess.run(
        ['make', '--no-print-directory', *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_demo_passes_method_and_arguments_on():
    assert 'tools/demo.py drpoint' in make('-n', 'demo')
    commands = make('-n', 'demo', 'METHOD=mvnet', 'ARGS=--seed 3')
    assert 'tools/demo.py mvnet --seed 3' in commands
    assert commands.index('tools.setup') < commands.index('tools/demo.py')


def test_tests_and_lint_set_up_first():
    commands = make('-n', 'test', 'ARGS=tests/test_ops -x', 'PYTHON=/opt/python3.11')
    assert 'pytest' in commands and 'tests/test_ops -x' in commands
    assert 'find_python.sh /opt/python3.11' in commands
    assert commands.index('tools.setup') < commands.index('pytest')
    assert 'OMP_NUM_THREADS=1' in commands and '-n 3 ' in make('-n', 'test', 'WORKERS=3')
    commands = make('-n', 'lint')
    assert commands.index('tools.setup') < commands.index('ruff check')
    assert 'ruff format --check' in commands


def test_help_names_every_command():
    targets = re.search(r'^\.PHONY: (.+)$', (ROOT / 'Makefile').read_text(), re.MULTILINE)[1]
    text = make()
    for target in set(targets.split()) - {'help'}:
        assert f'make {target}' in text


def test_ci_runs_lint_and_tests():
    script = ROOT / '.ci' / 'run'
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.index('make lint') < text.index('make test')
    subprocess.run(['bash', '-n', str(script)], check=True)
