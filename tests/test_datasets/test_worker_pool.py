"""Jobs that fail, crash, hang or grow cost themselves only."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.datasets.worker_pool import run_jobs


def work(job: str):
    """What the name of the job says."""
    kind, _, number = job.partition(' ')
    if kind == 'refuse':
        raise SampleError(f'file {number}:\n  broken')
    if kind == 'bug':
        raise KeyError(number)
    if kind == 'die':
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == 'exit':
        os._exit(3)
    if kind == 'hang':
        time.sleep(60)
    if kind == 'grow':
        blocks = []
        while len(blocks) < 100:  # 3 GB
            blocks.append(np.ones(1 << 22))
            time.sleep(0.05)
    return os.getpid(), number


@pytest.mark.parametrize('workers', [1, 2])
def test_every_job_has_an_outcome(workers):
    jobs = [
        'work 0',
        'die 1',
        'work 2',
        'refuse 3',
        'exit 4',
        'bug 5',
        'hang 6',
        'work 7',
        'work 8',
    ]
    start = time.monotonic()
    outcomes = {outcome.job: outcome for outcome in run_jobs(work, jobs, workers, timeout=1.5)}
    assert time.monotonic() - start < 20
    assert set(outcomes) == set(jobs)
    for job in jobs:
        if job.startswith('work'):
            pid, number = outcomes[job].value
            assert pid != os.getpid() and job == f'work {number}' and outcomes[job].error is None
    assert outcomes['refuse 3'].error == 'file 3: broken'
    assert outcomes['bug 5'].error == "KeyError '5'"
    assert outcomes['exit 4'].error == 'the process that worked on it died (exit code 3)'
    assert outcomes['die 1'].error.endswith(f'died (signal {int(signal.SIGKILL)})')
    assert outcomes['hang 6'].error == 'not finished after 1.5 s (timeout), given up'


@pytest.mark.skipif(not os.path.exists('/proc/self/statm'), reason='memory is watched on Linux')
def test_a_job_that_grows_is_ended():
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    limit = pages * os.sysconf('SC_PAGE_SIZE') / 2**30 + 0.15
    jobs = ['grow 0', 'work 1']
    outcomes = {o.job: o for o in run_jobs(work, jobs, 1, timeout=30, max_memory=limit)}
    assert 'of memory (max_memory), given up' in outcomes['grow 0'].error
    assert outcomes['work 1'].error is None


def test_a_consumer_that_stops_ends_the_processes():
    outcomes = run_jobs(work, ['work 0', 'hang 1', 'hang 2'], 2, timeout=60)
    pid, _ = next(outcomes).value
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_refusals():
    for arguments in (dict(workers=0), dict(timeout=0), dict(max_memory=-1)):
        with pytest.raises(ValueError, match='must be'):
            next(run_jobs(work, ['work 0'], **arguments))
    assert list(run_jobs(work, [])) == []
