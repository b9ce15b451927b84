"""Run a command, log what it prints, and show how long it has been at it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .checks import SetupError, explain


def clock(seconds: float) -> str:
    """``2:05`` for 125 seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f'{minutes}:{rest:02d}'


class Line:
    """One line of progress: rewritten in place on a terminal, repeated every half minute in a log.

    Args:
        title: What is being done, for instance ``[3/6] installing torch 2.13.0``.
        estimate: How long it usually takes, for instance ``about 7 minutes``.
        stream: Where to write, standard output by default.
    """

    def __init__(self, title: str, estimate: str = '', stream=None) -> None:
        self.title = title
        self.stream = stream or sys.stdout
        self.tty = self.stream.isatty()
        self.started = self.shown = time.monotonic()
        self._write(f'{title} ...' + (f' {estimate}' if estimate else ''))

    def _write(self, text: str, last: bool = False) -> None:
        if self.tty:
            self.stream.write(f'\r\x1b[K{text}' + ('\n' if last else ''))
        else:
            self.stream.write(text + '\n')
        self.stream.flush()

    def update(self, detail: str = '') -> None:
        """Show the time so far, when the last showing is old enough."""
        now = time.monotonic()
        if now - self.shown < (1 if self.tty else 30):
            return
        self.shown = now
        text = f'{self.title} ... {clock(now - self.started)} so far'
        self._write(text + (f', {detail}' if detail else ''))

    def done(self, result: str = 'done') -> None:
        """Close the line with the time it took."""
        self._write(f'{self.title}: {result} in {clock(time.monotonic() - self.started)}', True)

    def broken_off(self) -> None:
        """Leave the line as it stands."""
        if self.tty:
            self.stream.write('\n')
            self.stream.flush()


def compiled_files(log: str) -> str:
    """``41 of 92 files compiled`` from ninja's counter, or nothing."""
    counts = re.findall(r'^\s*\[(\d+)/(\d+)\] ', log, re.MULTILINE)
    return f'{counts[-1][0]} of {counts[-1][1]} files compiled' if counts else ''


def run(
    command: list,
    log: Path,
    line: Line,
    env: dict | None = None,
    cwd: Path | None = None,
    detail: Callable[[str], str] | None = None,
    keep_open: tuple[int, ...] = (),
) -> None:
    """Run a command to its end; its output goes to a log file.

    Args:
        command: Program and arguments.
        log: Appended to.
        line: Shows the time while the command runs.
        env: Its environment.
        cwd: Its working folder.
        detail: Makes a few words of progress from the output so far.
        keep_open: File descriptors that the command inherits. The lock of the set-up is one: should
            the set-up be killed, the next one waits for a command that is left over.

    Raises:
        SetupError: The command failed; one line with the cause and the log.
        KeyboardInterrupt: After the command and what it started have been stopped.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, 'ab') as stream:
        stream.write(f'$ {" ".join(map(str, command))}\n'.encode())
        stream.flush()
        start = stream.tell()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            pass_fds=keep_open,
            start_new_session=True,
        )
        try:
            while True:
                try:
                    code = process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    line.update(detail(_output(log, start)) if detail else '')
        except BaseException:
            _stop(process)
            line.broken_off()
            raise
    if code:
        line.broken_off()
        raise SetupError(
            f'{line.title} failed: {explain(_output(log, start))} (all of it in {log})'
        )


def _output(log: Path, start: int) -> str:
    with open(log, 'rb') as stream:
        stream.seek(start)
        return stream.read().decode(errors='replace')


def _stop(process: subprocess.Popen) -> None:
    """End a process that runs in a session of its own, and all that it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(timeout=5)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return
