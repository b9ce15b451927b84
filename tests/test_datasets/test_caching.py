"""Folders that are built once, by whoever comes first."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import pytest

from mm3dpretrain.datasets.caching import build_once, cache_name, rows_writer


def test_name_depends_on_every_parameter():
    names = {cache_name('a', x=1, y=2), cache_name('a', x=1, y=3), cache_name('a', x=1)}
    assert len(names) == 3
    assert cache_name('a', x=1, y=2) == cache_name('a', y=2, x=1)


def test_builds_once(tmp_path):
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / 'a.txt').write_text('done')

    assert build_once(tmp_path / 'deep' / 'cache', build)
    assert not build_once(tmp_path / 'deep' / 'cache', build)
    assert len(calls) == 1
    assert (tmp_path / 'deep' / 'cache' / 'a.txt').read_text() == 'done'


def test_failed_build_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / 'half.txt').write_text('half')
        raise ValueError('broken mesh')

    with pytest.raises(ValueError, match='broken mesh'):
        build_once(tmp_path / 'cache', fail)
    assert not (tmp_path / 'cache').exists()
    assert [p.name for p in tmp_path.iterdir()] == ['.cache.lock']
    assert build_once(tmp_path / 'cache', lambda folder: None)


def test_leftover_of_a_killed_build_is_replaced(tmp_path):
    leftover = tmp_path / '.cache.tmp'
    leftover.mkdir()
    (leftover / 'half.txt').write_text('half')
    build_once(tmp_path / 'cache', lambda folder: (folder / 'a.txt').write_text('done'))
    assert [p.name for p in (tmp_path / 'cache').iterdir()] == ['a.txt']


def _slow_build(folder, counter):
    def build(temporary):
        with counter.get_lock():
            counter.value += 1
        time.sleep(0.3)
        (temporary / 'a.txt').write_text('done')

    build_once(folder, build)
    assert (folder / 'a.txt').read_text() == 'done'


def test_processes_wait_for_each_other(tmp_path):
    context = multiprocessing.get_context('fork')
    counter = context.Value('i', 0)
    jobs = [
        context.Process(target=_slow_build, args=(tmp_path / 'cache', counter)) for _ in range(3)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(20)
    assert [job.exitcode for job in jobs] == [0, 0, 0]
    assert counter.value == 1


def test_not_writable_names_the_cache(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='cannot write the cache.*set cache_dir'):
        build_once(tmp_path / 'file' / 'cache', lambda folder: None)


def test_rows_writer(tmp_path):
    with rows_writer(tmp_path / 'a.npy', (3, 2), np.float32) as rows:
        rows[1] = 5
    np.testing.assert_array_equal(np.load(tmp_path / 'a.npy'), [[0, 0], [5, 5], [0, 0]])
