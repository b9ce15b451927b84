"""The steps from a bare checkout to a working ``.venv``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from . import checks, wheels
from .checks import SetupError
from .progress import Line, compiled_files, run
from .stamps import Stamps, fingerprint, remove_half_installed

MMCV = '2.1.0'
# Room for .venv with a CPU-only torch (2 GB), pip's downloads and the build. A CUDA build of torch
# and its libraries need about as much again.
GIGABYTES = 6
GIGABYTES_FOR_BUILD = 1.5

CHECK = (
    'import mm3dpretrain, torch, torchvision, mmcv.ops, mmdet.models, mmdet3d.models, '
    'mmdet3d.datasets, mmdet3d.apis, mmdet3d.evaluation'
)


class Setup:
    """Brings ``.venv`` up to date.

    Args:
        root: The checkout.
        cache: Folder of built wheels.
        lock: Descriptor of the lock file held, given on to the commands that are run.
    """

    def __init__(self, root: Path, cache: Path | None = None, lock: int | None = None) -> None:
        self.root = root
        self.venv = root / '.venv'
        self.python = self.venv / 'bin' / 'python'
        self.state = root / '.setup'
        self.cache = cache or wheels.cache_root()
        self.stamps = Stamps(self.venv / 'setup')
        self.keep_open = () if lock is None else (lock,)
        needs = root / 'requirements'
        self.build_file, self.torch_file = needs / 'build.txt', needs / 'torch.txt'
        self.lock_file = needs / 'lock.txt'
        base = fingerprint(self.build_file)
        torch = fingerprint(base, self.torch_file)
        packages = fingerprint(torch, self.lock_file)
        mmcv = fingerprint(torch, MMCV)
        self.prints = {
            'venv': base,
            'torch': torch,
            'packages': packages,
            'mmcv': mmcv,
            'project': fingerprint(
                packages, mmcv, str(root), root / 'setup.py', root / 'pyproject.toml'
            ),
        }
        self.steps = {
            'venv': self.create_venv,
            'torch': self.install_torch,
            'packages': self.install_packages,
            'mmcv': self.provide_mmcv,
            'project': self.install_project,
        }

    # -- what there is to do

    def is_done(self, step: str) -> bool:
        """Whether a step need not run."""
        return self.python.exists() and self.stamps.is_done(step, self.prints[step])

    def is_complete(self) -> bool:
        """Whether the environment is up to date; reads a few small files and nothing else."""
        return all(map(self.is_done, self.steps))

    def run(self) -> None:
        """Do what there is to do.

        Raises:
            SetupError: Something on the machine, the network or the disk is in the way.
        """
        shutil.rmtree(self.state / 'tmp', ignore_errors=True)
        (self.state / 'tmp').mkdir(parents=True)
        total = len(self.steps) + 1
        self.check_machine(f'[1/{total}]')
        for number, (step, action) in enumerate(self.steps.items(), start=2):
            head = f'[{number}/{total}]'
            if self.is_done(step):
                print(f'{head} {step}: up to date', flush=True)
                continue
            action(head)
            self.stamps.done(step, self.prints[step])
        shutil.rmtree(self.state / 'tmp', ignore_errors=True)

    # -- helpers

    def torch_version(self) -> str:
        """The pinned version, without the build."""
        return re.search(r'^torch==([\w.]+)', self.torch_file.read_text(), re.MULTILINE)[1]

    def environment(self, **extra: str) -> dict[str, str]:
        """Environment of the commands: our ``.venv`` first, temporary files inside the checkout."""
        env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'PYTHONHOME')}
        env.update(
            PATH=f'{self.venv / "bin"}{os.pathsep}{env.get("PATH", os.defpath)}',
            VIRTUAL_ENV=str(self.venv),
            TMPDIR=str(self.state / 'tmp'),
            PIP_DISABLE_PIP_VERSION_CHECK='1',
            PIP_NO_INPUT='1',
            PIP_USER='0',
            PYTHONUNBUFFERED='1',
            **extra,
        )
        return env

    def command(self, step: str, line: Line, *command, env=None, detail=None) -> None:
        """Run a command of a step; its output goes to ``.setup/log/<step>.log``."""
        run(
            list(command),
            self.state / 'log' / f'{step}.log',
            line,
            env=env or self.environment(),
            cwd=self.root,
            detail=detail,
            keep_open=self.keep_open,
        )

    def pip(self, step: str, line: Line, *arguments) -> None:
        """Run pip, after removing what an earlier run left half installed."""
        for folder in self.venv.glob('lib/python*/site-packages'):
            remove_half_installed(folder)
        self.command(step, line, self.python, '-m', 'pip', 'install', *arguments)

    # -- the steps

    def check_machine(self, head: str) -> None:
        """Find out what would go wrong minutes later."""
        line = Line(f'{head} checking compiler, Python and disk')
        try:
            if not self.is_done('venv'):
                checks.check_venv_module()
            if not self.is_done('packages'):
                checks.check_space(self.root, GIGABYTES)
            if not self.is_done('mmcv') and not wheels.may_have_wheel(
                self.cache, self.torch_version(), MMCV
            ):
                checks.find_compiler()
                checks.check_space(self.root, GIGABYTES_FOR_BUILD)
        except SetupError:
            line.broken_off()
            raise
        line.done('all there')

    def venv_is_usable(self) -> bool:
        """Whether ``.venv`` runs, has pip, and is of this Python version."""
        if not self.python.exists():
            return False
        code = 'import sys, pip; print(*sys.version_info[:2])'
        done = subprocess.run([self.python, '-c', code], capture_output=True, text=True)
        return done.returncode == 0 and done.stdout.split() == [*map(str, sys.version_info[:2])]

    def create_venv(self, head: str) -> None:
        """Create ``.venv``; one that works is kept, so that a new pin costs no new download."""
        line = Line(f'{head} creating .venv')
        base = getattr(sys, '_base_executable', None) or sys.executable
        if not self.venv_is_usable():
            if self.venv.exists():
                shutil.rmtree(self.venv)
            self.command('venv', line, base, '-m', 'venv', self.venv, env=dict(os.environ))
        self.pip('venv', line, '-r', self.build_file)
        line.done()

    def install_torch(self, head: str) -> None:
        """Install torch with the libraries that its build needs, which differ by machine."""
        line = Line(f'{head} installing torch {self.torch_version()}', 'a minute or two')
        self.pip('torch', line, '-r', self.torch_file, '-c', self.lock_file)
        line.done()

    def install_packages(self, head: str) -> None:
        """Install the pinned packages exactly as listed.

        Without dependency resolution: some ask for a second OpenCV (with a display), for another
        torch, or for things that are only needed by programs which are never run here.
        """
        count = len(re.findall(r'^[\w.-]+==', self.lock_file.read_text(), re.MULTILINE))
        line = Line(f'{head} installing {count} pinned packages', 'one to three minutes')
        self.pip('packages', line, '--no-deps', '-r', self.lock_file)
        line.done()

    def provide_mmcv(self, head: str) -> None:
        """Install mmcv with its CPU operators: from the cache, or built once and put there."""
        code = 'import torch; print(torch.__version__)'
        found = subprocess.run([self.python, '-c', code], capture_output=True, text=True)
        if found.returncode:
            self.stamps.undo('torch')
            raise SetupError(
                'torch does not import in .venv: run the same command again to install it anew, '
                f'or remove .venv ({checks.explain(found.stderr)})'
            )
        key = wheels.wheel_key(found.stdout.strip(), MMCV)
        wheel = wheels.find_wheel(self.cache, key)
        if wheel is not None and not self._install_mmcv(f'{head} installing mmcv {MMCV}', wheel):
            print(f'{head} the cached wheel does not work here: building it again', flush=True)
            wheel.unlink()
            wheel = None
        if wheel is None:
            wheel = wheels.store_wheel(self.cache, key, self._build_mmcv(head, key))
            if not self._install_mmcv(f'{head} installing mmcv {MMCV}', wheel):
                wheel.unlink()
                raise SetupError(
                    f'mmcv {MMCV} was built, but its operators do not load: see '
                    f'{self.state / "log" / "mmcv.log"}'
                )
            shutil.rmtree(self.state / 'build', ignore_errors=True)

    def _install_mmcv(self, title: str, wheel: Path) -> bool:
        line = Line(f'{title} from the cache')
        self.pip('mmcv', line, '--no-deps', '--no-index', '--force-reinstall', wheel)
        try:
            self.command('mmcv', line, self.python, '-c', 'import torch, mmcv._ext')
        except SetupError:
            return False
        line.done()
        return True

    def _build_mmcv(self, head: str, key: str) -> Path:
        """Build the wheel in ``.setup/build``, which a killed build finds again."""
        compilers = checks.find_compiler()
        jobs = os.environ.get('MAX_JOBS') or str(default_jobs())
        # CPU operators whatever the machine has: with a GPU in sight, mmcv would want nvcc.
        env = self.environment(
            MMCV_WITH_OPS='1', FORCE_CUDA='0', CUDA_VISIBLE_DEVICES='', MAX_JOBS=jobs, **compilers
        )
        folder = self.state / 'build' / key
        source = folder / f'mmcv-{MMCV}'
        # Measured: 15 to 20 minutes of one core.
        minutes = max(2, round(16 / int(jobs)))
        line = Line(f'{head} building mmcv {MMCV}', f'once, about {minutes} minutes')
        pip = [self.python, '-m', 'pip']
        if not source.is_dir():
            self.command(
                *('mmcv', line, *pip, 'download', '--no-deps', '--no-build-isolation'),
                *('--no-binary', 'mmcv', '-d', folder, f'mmcv=={MMCV}'),
                env=env,
            )
            unpack(folder / f'mmcv-{MMCV}.tar.gz', source)
        shutil.rmtree(folder / 'wheel', ignore_errors=True)
        self.command(
            *('mmcv', line, *pip, 'wheel', '-v', '--no-deps', '--no-build-isolation'),
            *('-w', folder / 'wheel', source),
            env=env,
            detail=compiled_files,
        )
        built = [path for path in (folder / 'wheel').glob('mmcv-*.whl') if wheels.is_whole(path)]
        if not built:
            line.broken_off()
            raise SetupError(
                f'mmcv {MMCV} was built without its operators: see '
                f'{self.state / "log" / "mmcv.log"}'
            )
        line.done()
        return built[0]

    def install_project(self, head: str) -> None:
        """Install this checkout (editable) and import what was installed."""
        line = Line(f'{head} installing mm3dpretrain and trying the imports')
        self.pip('project', line, '--no-deps', '--no-build-isolation', '-e', self.root)
        self.command('project', line, self.python, '-c', CHECK)
        line.done()


def default_jobs(cores: int | None = None, memory: float | None = None) -> int:
    """How many files to compile at once: one a core, and at least 1.5 GB of memory for each.

    Args:
        cores: Cores of this machine by default.
        memory: Free memory in bytes, looked up by default.
    """
    if cores is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    if memory is None:
        text = Path('/proc/meminfo').read_text() if os.path.exists('/proc/meminfo') else ''
        free = re.search(r'^MemAvailable:\s+(\d+) kB', text, re.MULTILINE)
        memory = int(free[1]) * 1024 if free else float('inf')
    return int(max(1, min(cores or 1, memory // 1.5e9)))


def unpack(archive: Path, target: Path) -> None:
    """Unpack an archive that holds one folder; the target exists only once all is there."""
    temporary = target.with_name(target.name + '.unpacking')
    shutil.rmtree(temporary, ignore_errors=True)
    # The filter came with Python 3.11.4; Debian 12 has 3.11.2.
    safely = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}
    with tarfile.open(archive) as stream:
        stream.extractall(temporary, **safely)
    os.replace(next(temporary.iterdir()), target)
    temporary.rmdir()
