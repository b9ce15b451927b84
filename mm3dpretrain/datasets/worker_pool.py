"""Worker processes for data preparation: one bad file costs itself, not the run."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import torch
from mmengine.utils import ProgressBar

from .io import SampleError

GIGABYTE = 1 << 30
_TICK = 0.5  # seconds between two looks at time and memory of the workers


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
        job: as given.
        value: what the function returned; None if it failed.
        error: why it failed, in one line, or None.
    """

    job: Any
    value: Any
    error: str | None


class Progress:
    """MMEngine's progress bar, twice a second on a terminal and every ten seconds in a log."""

    def __init__(self, total: int) -> None:
        self.bar = ProgressBar(total, file=sys.stderr)
        self.pause = 0.5 if sys.stderr.isatty() else 10.0
        self.total, self.last = total, time.perf_counter()

    def update(self, done: int) -> None:
        """Show that ``done`` of the total are finished."""
        if done < self.total and time.perf_counter() - self.last < self.pause:
            return
        self.last = time.perf_counter()
        self.bar.update(done - self.bar.completed)
        if done >= self.total or not sys.stderr.isatty():
            sys.stderr.write('\n')


def default_workers() -> int:
    """One process for each core that this process may use."""
    affinity = getattr(os, 'sched_getaffinity', None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def start_worker(parent: int) -> None:
    """Set up a process that works for the process ``parent`` and ends with it."""
    # the parent alone answers Ctrl-C, and one thread each keeps the processes out of each
    # other's way
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    # a parent that is killed cannot end its workers, which would wait for work for ever
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks, with its type unless it is one of ours."""
    text = ' '.join(str(error).split())
    return (
        text if isinstance(error, (SampleError, ValueError)) else f'{type(error).__name__} {text}'
    )


def _work(connection, function: Callable, parent: int) -> None:
    start_worker(parent)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            answer = (function(job), None)
        except Exception as error:  # whatever a reader raises belongs into the report
            answer = (None, one_line(error))
        connection.send(answer)


class _Worker:
    """A process, the job it is busy with and when that must be done."""

    def __init__(self, context, function: Callable) -> None:
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, function, os.getpid()), daemon=True
        )
        self.process.start()
        theirs.close()
        self.job: Any = None
        self.deadline = 0.0

    def give(self, job: Any, timeout: float) -> None:
        self.job, self.deadline = job, time.monotonic() + timeout
        self.connection.send(job)

    def memory(self) -> int:
        """Bytes of main memory that the process holds; 0 where the system does not tell."""
        try:
            with open(f'/proc/{self.process.pid}/statm') as file:
                return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
        except (OSError, ValueError, IndexError):
            return 0

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def check_limits(workers: int, timeout: float, max_memory: float) -> None:
    """Refuse limits that :func:`run_jobs` cannot work with.

    Raises:
        ValueError: naming them.
    """
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}')
    if not (timeout > 0 and max_memory > 0):
        raise ValueError(f'timeout and max_memory must be positive, got {timeout}, {max_memory}')


def run_jobs(
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    workers: int = 1,
    timeout: float = 300.0,
    max_memory: float = 4.0,
) -> Iterator[Outcome]:
    """Run a function on every job, in processes of their own, and say what became of each.

    A job that raises, that ends its process (a crash inside a library), that takes too long or too
    much memory is reported; the others go on, in a new process where needed.

    Args:
        function: importable, of one job; its result must be picklable.
        jobs: picklable.
        workers: processes; one works outside this process too.
        timeout: seconds for a job.
        max_memory: gigabytes (2^30 bytes) of main memory for a process, watched on Linux.

    Yields:
        An :class:`Outcome` for each job, in the order in which they end.

    Raises:
        ValueError: for less than one worker, or a limit that is not positive.
    """
    check_limits(workers, timeout, max_memory)
    # fork starts at once and asks no main-guard of the caller's script
    context = get_context('fork' if 'fork' in get_all_start_methods() else 'spawn')
    waiting = deque(jobs)
    busy: list[_Worker] = []
    idle: list[_Worker] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else _Worker(context, function)
                worker.give(waiting.popleft(), timeout)
                busy.append(worker)
            ready = wait([worker.connection for worker in busy], _TICK)
            for worker in list(busy):
                answer = None
                if worker.connection in ready:
                    answer, alive = _answer(worker)
                elif time.monotonic() > worker.deadline:
                    answer, alive = (
                        (None, f'not finished after {timeout:g} s (timeout), given up'),
                        False,
                    )
                elif worker.memory() > max_memory * GIGABYTE:
                    message = f'needs more than {max_memory:g} GB of memory (max_memory), given up'
                    answer, alive = (None, message), False
                if answer is None:
                    continue
                busy.remove(worker)
                job = worker.job
                if alive:
                    idle.append(worker)
                else:
                    worker.end()
                yield Outcome(job, *answer)
    finally:
        for worker in busy + idle:
            worker.end()


def _answer(worker: _Worker) -> tuple[tuple, bool]:
    """What a worker says, and whether it is still there."""
    try:
        return worker.connection.recv(), True
    except (EOFError, OSError):
        worker.process.join(5.0)
        code = worker.process.exitcode
        how = f'signal {-code}' if code is not None and code < 0 else f'exit code {code}'
        return (None, f'the process that worked on it died ({how})'), False
