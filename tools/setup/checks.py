"""What can be wrong with a machine, each as one line that says what to do."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

GIGABYTE = 1e9


class SetupError(Exception):
    """The set-up cannot go on; the message is one line for the user."""


def check_venv_module() -> None:
    """Raise where this Python cannot create virtual environments (Debian splits that off)."""
    if importlib.util.find_spec('venv') is None or importlib.util.find_spec('ensurepip') is None:
        version = f'{sys.version_info[0]}.{sys.version_info[1]}'
        raise SetupError(
            f'{sys.executable} cannot create virtual environments (no ensurepip): '
            f'apt-get install python{version}-venv'
        )


def check_space(folder: Path, gigabytes: float, free: int | None = None) -> None:
    """Raise where a folder's disk has too little room.

    Args:
        folder: Where things will be written.
        gigabytes: Room needed, in 10^9 bytes.
        free: Free bytes, looked up by default.
    """
    free = shutil.disk_usage(folder).free if free is None else free
    if free < gigabytes * GIGABYTE:
        raise SetupError(
            f'not enough disk space: {free / GIGABYTE:.1f} GB free at {folder}, '
            f'about {gigabytes:g} GB needed'
        )


def find_compiler() -> dict[str, str]:
    """The C and C++ compilers, as the variables ``CC`` and ``CXX``.

    Raises:
        SetupError: One of them is missing, or does not find the headers of Python or C++.
    """
    found = {}
    for variable, names, package in (
        ('CC', ('gcc', 'cc', 'clang'), 'gcc'),
        ('CXX', ('g++', 'c++', 'clang++'), 'g++'),
    ):
        named = os.environ.get(variable)
        names = (named.split()[0],) if named and named.split() else names
        path = next(filter(None, map(shutil.which, names)), None)
        if path is None:
            language = 'C++' if variable == 'CXX' else 'C'
            raise SetupError(
                f'no {language} compiler found ({" or ".join(names)}), and mmcv has to be built: '
                f'apt-get install {package}'
            )
        found[variable] = named or path
    check_headers(found['CXX'])
    return found


def check_headers(compiler: str) -> None:
    """Compile three lines that need the headers of Python and of the C++ library."""
    include = sysconfig.get_path('include')
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'probe.cpp'
        source.write_text('#include <vector>\n#include <Python.h>\nint main() { return 0; }\n')
        done = subprocess.run(
            [*compiler.split(), '-std=c++17', '-fsyntax-only', f'-I{include}', str(source)],
            capture_output=True,
            text=True,
        )
    if done.returncode == 0:
        return
    if 'Python.h' in done.stderr:
        version = f'{sys.version_info[0]}.{sys.version_info[1]}'
        raise SetupError(
            f'the C headers of Python are missing (Python.h, looked for in {include}): '
            f'apt-get install python{version}-dev'
        )
    first = next((line for line in done.stderr.splitlines() if 'error' in line), 'no message')
    raise SetupError(f'the compiler {compiler} cannot build C++17: {first.strip()}')


# What the end of a log means, most telling first.
_CAUSES = (
    (
        r'No space left on device|Disk quota exceeded',
        'no space left on the disk: free some room and run the same command again',
    ),
    (
        r'Temporary failure in name resolution|Name or service not known|No address associated'
        r'|NameResolutionError|NewConnectionError|Connection refused|Network is unreachable'
        r'|ConnectTimeoutError|ReadTimeoutError|Read timed out|Max retries exceeded|ProxyError'
        r'|SSLError|HTTPError|RemoteDisconnected|Connection reset|IncompleteRead|connection broken',
        'no network, or the package index cannot be reached: check the connection, the proxy and '
        'PIP_INDEX_URL, and run the same command again',
    ),
    (
        r'Killed signal terminated program|fatal error: Killed|cc1plus.*Killed'
        r'|virtual memory exhausted',
        'the compiler ran out of memory: run the same command with MAX_JOBS=1',
    ),
    (r'Permission denied', 'a file or folder may not be written'),
)


def explain(log: str) -> str:
    """One line that says why a command failed.

    Args:
        log: Everything that it printed.
    """
    for pattern, meaning in _CAUSES:
        if re.search(pattern, log):
            return meaning
    missing = re.findall(r'No matching distribution found for (\S+)', log)
    if missing and '(from versions: none)' in log:
        return f'the package index knows no {missing[-1]}: check PIP_INDEX_URL and the network'
    if missing:
        return (
            f'the package index offers no {missing[-1]} for Python '
            f'{sys.version_info[0]}.{sys.version_info[1]} on this machine'
        )
    errors = re.findall(r'^\s*((?:ERROR|error|fatal error|\w*Error): .+)$', log, re.MULTILINE)
    errors = errors or re.findall(r'^.*\berror: .+$', log, re.MULTILINE)
    if errors:
        return errors[-1].strip()[:200]
    lines = log.strip().splitlines()
    return lines[-1].strip()[:200] if lines else 'it failed without a message'
