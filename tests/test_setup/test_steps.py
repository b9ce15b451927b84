from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tools.setup import progress, steps
from tools.setup.checks import SetupError
from tools.setup.stamps import Stamps, fingerprint, remove_half_installed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the set-up reads, with an environment that consists of a Python."""
    root = tmp_path / 'checkout'
    (root / 'requirements').mkdir(parents=True)
    for name in ('build.txt', 'torch.txt', 'lock.txt'):
        (root / 'requirements' / name).write_bytes((ROOT / 'requirements' / name).read_bytes())
    for name in ('setup.py', 'pyproject.toml'):
        (root / name).write_text(name)
    (root / '.venv' / 'bin').mkdir(parents=True)
    (root / '.venv' / 'bin' / 'python').symlink_to(sys.executable)
    return root


def make_setup(checkout, done=()):
    setup = steps.Setup(checkout, cache=checkout.parent / 'cache')
    for step in done:
        setup.stamps.done(step, setup.prints[step])
    return setup


ALL = ('venv', 'torch', 'packages', 'mmcv', 'project')


def test_goes_on_after_the_last_finished_step(checkout, monkeypatch, capsys):
    ran = []
    setup = make_setup(checkout, done=ALL[:2])
    monkeypatch.setattr(setup, 'check_machine', lambda head: ran.append('machine'))

    def stopped(head):
        raise KeyboardInterrupt

    setup.steps = {step: lambda head, step=step: ran.append(step) for step in ALL}
    setup.steps['mmcv'] = stopped
    with pytest.raises(KeyboardInterrupt):
        setup.run()
    assert ran == ['machine', 'packages'] and not setup.is_complete()
    assert 'torch: up to date' in capsys.readouterr().out

    again = make_setup(checkout)
    monkeypatch.setattr(again, 'check_machine', lambda head: None)
    again.steps = {step: lambda head, step=step: ran.append(step) for step in ALL}
    again.run()
    assert ran[2:] == ['mmcv', 'project'] and again.is_complete()


def test_changed_pins_redo_what_depends_on_them(checkout):
    assert make_setup(checkout, done=ALL).is_complete()
    with open(checkout / 'requirements' / 'lock.txt', 'a') as stream:
        stream.write('extra==1.0\n')
    setup = make_setup(checkout)
    assert [setup.is_done(step) for step in ALL] == [True, True, False, True, False]


def test_another_torch_needs_another_mmcv(checkout):
    make_setup(checkout, done=ALL)
    (checkout / 'requirements' / 'torch.txt').write_text('torch==2.14.0\n')
    setup = make_setup(checkout)
    assert [setup.is_done(step) for step in ALL] == [True, False, False, False, False]
    assert setup.torch_version() == '2.14.0'


def test_moved_checkout_is_installed_again(checkout):
    make_setup(checkout, done=ALL)
    moved = checkout.rename(checkout.with_name('moved'))
    setup = make_setup(moved)
    assert [setup.is_done(step) for step in ALL] == [True] * 4 + [False]


def test_environment_without_its_python_is_not_done(checkout):
    setup = make_setup(checkout, done=ALL)
    (checkout / '.venv' / 'bin' / 'python').unlink()
    assert not setup.is_complete()


def test_up_to_date_run_is_quick(checkout):
    make_setup(checkout, done=ALL)
    code = (
        'import sys; from pathlib import Path; from tools.setup.steps import Setup; '
        f'sys.exit(not Setup(Path({str(checkout)!r})).is_complete())'
    )
    started = time.perf_counter()
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0
    assert time.perf_counter() - started < 3  # well under 1 s when the machine is idle


def test_missing_compiler_is_said_before_anything_is_installed(checkout, monkeypatch):
    monkeypatch.setenv('PATH', str(checkout / 'nothing'))
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.setattr(steps.checks, 'check_space', lambda *args: None)
    with pytest.raises(SetupError, match='no C compiler'):
        make_setup(checkout).run()


def test_every_requirement_is_pinned():
    for name in ('build', 'torch', 'lock'):
        for line in (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines():
            if line and not line.startswith('#'):
                assert line.count('==') == 1 and ' ' not in line, line


def test_stamps(tmp_path):
    stamps = Stamps(tmp_path / 'setup')
    assert not stamps.is_done('torch', 'a')
    stamps.done('torch', 'a')
    assert stamps.is_done('torch', 'a') and not stamps.is_done('torch', 'b')
    stamps.undo('torch')
    assert not stamps.is_done('torch', 'a')
    assert fingerprint('ab', 'c') != fingerprint('a', 'bc')


def test_half_installed_packages_are_installed_again(tmp_path):
    for name, whole in (('numpy-1.dist-info', True), ('torch-2.dist-info', False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'METADATA').write_text('')
        if whole:
            (tmp_path / name / 'INSTALLER').write_text('pip')
    (tmp_path / '~umpy').mkdir()
    assert remove_half_installed(tmp_path) == ['torch-2.dist-info']
    assert [path.name for path in tmp_path.iterdir()] == ['numpy-1.dist-info']


@pytest.mark.parametrize(
    ('cores', 'gigabytes', 'jobs'), [(2, 16, 2), (8, 4, 2), (4, 1, 1), (64, 512, 64)]
)
def test_jobs_fit_cores_and_memory(cores, gigabytes, jobs):
    assert steps.default_jobs(cores, gigabytes * 1e9) == jobs
    assert steps.default_jobs() >= 1


def test_unpack(tmp_path):
    archive = tmp_path / 'mmcv-2.1.0.tar.gz'
    with tarfile.open(archive, 'w:gz') as stream:
        info = tarfile.TarInfo('mmcv-2.1.0/setup.py')
        info.size = 3
        stream.addfile(info, io.BytesIO(b'pwd'))
    (tmp_path / 'mmcv-2.1.0.unpacking').mkdir()  # left by an interrupted run
    steps.unpack(archive, tmp_path / 'mmcv-2.1.0')
    assert (tmp_path / 'mmcv-2.1.0' / 'setup.py').read_text() == 'pwd'
    assert not (tmp_path / 'mmcv-2.1.0.unpacking').exists()


def test_run_shows_time_and_progress_and_keeps_the_log(tmp_path, monkeypatch):
    screen = io.StringIO()
    line = progress.Line('[5/6] building mmcv', 'about 7 minutes', stream=screen)
    line.shown -= 100  # as if the last showing were long ago
    script = 'import time; print("[41/92] c++ x.cpp", flush=True); time.sleep(1.2)'
    log = tmp_path / 'log' / 'mmcv.log'
    progress.run([sys.executable, '-c', script], log, line, detail=progress.compiled_files)
    line.done()
    shown = screen.getvalue().splitlines()
    assert shown[0] == '[5/6] building mmcv ... about 7 minutes'
    assert shown[1].startswith('[5/6] building mmcv ... 0:0') and 'so far' in shown[1]
    assert shown[-1].startswith('[5/6] building mmcv: done in 0:0')
    assert '[41/92] c++ x.cpp' in log.read_text()
    assert progress.compiled_files(log.read_text()) == '41 of 92 files compiled'
    assert progress.clock(125) == '2:05'


def test_failed_command_is_one_line_with_cause_and_log(tmp_path):
    line = progress.Line('[3/6] installing torch', stream=io.StringIO())
    script = 'import sys; print("ERROR: No matching distribution found for torch==9"); sys.exit(1)'
    with pytest.raises(SetupError) as error:
        progress.run([sys.executable, '-c', script], tmp_path / 'torch.log', line)
    text = str(error.value)
    assert text.startswith('[3/6] installing torch failed: ') and '\n' not in text
    assert 'torch==9' in text and str(tmp_path / 'torch.log') in text


def test_stopping_ends_the_command_and_its_children(tmp_path):
    pids = tmp_path / 'pids'
    script = (
        'import os, subprocess, sys, time\n'
        'child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])\n'
        f'open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")\n'
        'time.sleep(60)\n'
    )

    class Line(progress.Line):
        def update(self, detail=''):
            if pids.exists() and pids.read_text():
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        progress.run(
            [sys.executable, '-c', script], tmp_path / 'log', Line('x', stream=io.StringIO())
        )
    deadline = time.monotonic() + 10
    alive = [int(pid) for pid in pids.read_text().split()]
    while alive and time.monotonic() < deadline:
        alive = [pid for pid in alive if is_running(pid)]
        time.sleep(0.05)
    assert not alive


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != 'Z'
