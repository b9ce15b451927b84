from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tools.setup import checks
from tools.setup.checks import SetupError

ROOT = Path(__file__).resolve().parents[2]


def program(path: Path, script: str) -> Path:
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


@pytest.fixture
def empty_path(tmp_path, monkeypatch):
    """A PATH with nothing on it but what a test puts there."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    monkeypatch.setenv('PATH', str(folder))
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.delenv('CXX', raising=False)
    return folder


def one_line(error) -> str:
    text = str(error.value)
    assert '\n' not in text
    return text


def test_no_compiler(empty_path):
    with pytest.raises(SetupError) as error:
        checks.find_compiler()
    assert 'no C compiler' in one_line(error) and 'apt-get install gcc' in str(error.value)


def test_gcc_without_gpp(empty_path):
    program(empty_path / 'gcc', 'exit 0')
    with pytest.raises(SetupError) as error:
        checks.find_compiler()
    assert 'no C++ compiler' in one_line(error) and 'apt-get install g++' in str(error.value)


def test_named_compiler_that_does_not_exist(empty_path, monkeypatch):
    monkeypatch.setenv('CC', 'no-such-compiler -O2')
    with pytest.raises(SetupError, match='no-such-compiler'):
        checks.find_compiler()


def test_missing_python_headers(empty_path):
    message = 'probe.cpp:2:10: fatal error: Python.h: No such file or directory'
    program(empty_path / 'gcc', 'exit 0')
    program(empty_path / 'g++', f'echo "{message}" >&2; exit 1')
    with pytest.raises(SetupError) as error:
        checks.find_compiler()
    assert 'Python.h' in one_line(error) and '-dev' in str(error.value)


def test_compiler_that_is_too_old(empty_path):
    program(empty_path / 'gcc', 'exit 0')
    program(empty_path / 'g++', 'echo "error: unrecognized option -std=c++17" >&2; exit 1')
    with pytest.raises(SetupError, match=r'cannot build C\+\+17.*unrecognized'):
        checks.find_compiler()


@pytest.mark.skipif(
    shutil.which('g++') is None or shutil.which('gcc') is None, reason='no compiler here'
)
def test_real_compiler(monkeypatch):
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.delenv('CXX', raising=False)
    try:
        found = checks.find_compiler()
    except SetupError as error:
        pytest.skip(str(error))
    assert Path(found['CC']).name == 'gcc' and Path(found['CXX']).name == 'g++'


def test_no_space(tmp_path):
    with pytest.raises(SetupError) as error:
        checks.check_space(tmp_path, 6, free=int(2.5e9))
    assert '2.5 GB free' in one_line(error) and '6 GB needed' in str(error.value)
    checks.check_space(tmp_path, 6, free=int(6.1e9))


def test_no_ensurepip(monkeypatch):
    real = checks.importlib.util.find_spec
    monkeypatch.setattr(
        checks.importlib.util, 'find_spec', lambda n: None if n == 'ensurepip' else real(n)
    )
    with pytest.raises(SetupError) as error:
        checks.check_venv_module()
    assert f'python3.{sys.version_info[1]}-venv' in one_line(error)


@pytest.mark.parametrize(
    ('log', 'meaning'),
    [
        ('OSError: [Errno 28] No space left on device', 'no space left'),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
            '<X>: Failed to establish a new connection: [Errno -3] Temporary failure in name '
            "resolution')'\nERROR: No matching distribution found for torch==2.13.0",
            'no network',
        ),
        ('ERROR: No matching distribution found for torch==9.9', 'offers no torch==9.9'),
        (
            'ERROR: Could not find a version that satisfies the requirement pip==1 '
            '(from versions: none)\nERROR: No matching distribution found for pip==1',
            'knows no pip==1',
        ),
        ('g++: fatal error: Killed signal terminated program cc1plus', 'MAX_JOBS=1'),
        ("PermissionError: [Errno 13] Permission denied: '/x'", 'may not be written'),
        ('many\nlines\nERROR: something specific went wrong\n', 'something specific went wrong'),
        ('file.cpp:3:1: error: expected ; before x\nmore\n', 'expected ; before x'),
        ('only this\n', 'only this'),
        ('', 'without a message'),
    ],
)
def test_causes(log, meaning):
    text = checks.explain(log)
    assert meaning in text and '\n' not in text


def find_python(path: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ['/bin/sh', str(ROOT / 'tools' / 'setup' / 'find_python.sh'), *arguments],
        env={'PATH': str(path)},
        cwd=path,
        capture_output=True,
        text=True,
    )


OLD = 'case "$2" in *sys.exit*) exit 1;; *) echo 3.9.2;; esac'


def test_wrong_python_only(empty_path):
    program(empty_path / 'python3', OLD)
    done = find_python(empty_path)
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.count('\n') == 1
    assert 'Python 3.11 is needed' in done.stderr and 'python3 is 3.9.2' in done.stderr
    assert 'make PYTHON=' in done.stderr


def test_no_python_at_all(empty_path):
    done = find_python(empty_path)
    assert done.returncode == 1 and done.stderr.count('\n') == 1
    assert 'none of these runs' in done.stderr


def test_the_right_python_is_found_behind_a_wrong_one(empty_path):
    program(empty_path / 'python3', OLD)
    program(empty_path / 'python3.11', 'exit 0')
    assert find_python(empty_path).stdout.strip() == 'python3.11'


def test_a_named_python_is_not_replaced_by_another(empty_path):
    program(empty_path / 'python3.11', 'exit 0')
    named = program(empty_path / 'mine', OLD)
    done = find_python(empty_path, str(named))
    assert done.returncode == 1 and 'mine is 3.9.2' in done.stderr
    assert find_python(empty_path, os.fspath(empty_path / 'python3.11')).returncode == 0
