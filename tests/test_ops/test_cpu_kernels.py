"""The CPU kernels under threads, forked workers, many sizes, and without a cache folder."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mm3dpretrain import ops
from mm3dpretrain.ops import _cpu, _kernels, naive


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def all_operators(xyz: torch.Tensor) -> tuple[torch.Tensor, ...]:
    idx = ops.furthest_point_sample(xyz, 64)
    center = ops.gather_points(xyz, idx)
    return idx, ops.knn(center, xyz, 16).idx, ops.ball_query(center, xyz, 0.3, 8)


class Clouds(Dataset):
    """Works in the worker as a data pipeline does; two threads there are worse than usual."""

    def __init__(self, xyz: torch.Tensor) -> None:
        self.xyz = xyz

    def __len__(self) -> int:
        return len(self.xyz)

    def __getitem__(self, item: int) -> tuple[torch.Tensor, ...]:
        torch.set_num_threads(2)
        return tuple(x[0] for x in all_operators(self.xyz[item : item + 1]))


def test_forked_workers_after_use_in_the_parent(two_threads):
    xyz = torch.randn(12, 3000, 3)
    expected = all_operators(xyz)  # starts the parent's threads
    loader = DataLoader(
        Clouds(xyz), batch_size=4, num_workers=2, multiprocessing_context='fork', timeout=120
    )
    for _ in range(2):
        batches = [torch.cat(parts) for parts in zip(*loader)]
        assert all(torch.equal(a, b) for a, b in zip(batches, expected))
        all_operators(xyz)  # and the parent still works


def test_spawned_worker(two_threads):
    xyz = torch.randn(2, 500, 3)
    loader = DataLoader(
        Clouds(xyz), batch_size=2, num_workers=1, multiprocessing_context='spawn', timeout=120
    )
    assert all(torch.equal(a, b) for a, b in zip(next(iter(loader)), all_operators(xyz)))


def test_threads_change_nothing(two_threads):
    xyz = torch.randn(5, 4000, 3)
    threaded = all_operators(xyz)
    torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(all_operators(xyz), threaded))


def test_calls_from_several_python_threads(two_threads):
    clouds = [torch.randn(2, 2000, 3) for _ in range(8)]
    expected = [all_operators(xyz) for xyz in clouds]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(all_operators, clouds))
    for result, wanted in zip(results, expected):
        assert all(torch.equal(a, b) for a, b in zip(result, wanted))


def test_every_size_around_a_bucket():
    """Buckets hold 64 points: sizes about its multiples are where an off-by-one would show."""
    for size in [1, 2, 63, 64, 65, 127, 128, 129, 191, 192, 193, 257, 640, 641]:
        xyz = torch.randn(1, size, 3)
        for num in (min(size, 40), min(size, 200)):
            idx = ops.furthest_point_sample(xyz, num)
            assert torch.equal(idx, naive.furthest_point_sample(xyz, num)), (size, num)
        num = min(size, 40)
        query = torch.randn(1, 30, 3)
        assert torch.equal(ops.knn(query, xyz, num).idx, naive.knn(query, xyz, num)[1]), size
        call = (query, xyz, 0.7, 20)
        assert torch.equal(ops.ball_query(*call), naive.ball_query(*call)), size


@pytest.mark.parametrize('size', [10, 1000])
def test_tree_holds_every_point_in_its_box(size):
    xyz = torch.randn(1, size, 3).numpy()
    order, points, boxes = _cpu._tree_of(xyz, _cpu._lengths(None, 1, size))
    assert sorted(order[order != _kernels.NO_POINT].tolist()) == list(range(size))
    buckets = -(-size // _kernels.LEAF)
    stack = [(0, 0, buckets)]
    while stack:
        node, first, last = stack.pop()
        inside = xyz[0, order[0, first:last][order[0, first:last] != _kernels.NO_POINT]]
        assert (inside.min(0) == boxes[0, node, :, 0]).all()
        assert (inside.max(0) == boxes[0, node, :, 1]).all()
        if last - first > 1:
            mid = (first + last) // 2
            stack += [(2 * node + 1, first, mid), (2 * node + 2, mid, last)]


def test_work_without_a_cache_folder(monkeypatch):
    """A read-only installation and no writable home must not stop the import."""
    import numba

    real = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError('cannot cache function: no locator available')
        return real(**options)

    monkeypatch.setattr(numba, 'njit', njit)
    assert _kernels.kernel(lambda x: x + 1)(2) == 3


def test_import_of_the_operators_does_not_load_numba():
    code = (
        'import sys\n'
        'import mm3dpretrain.ops\n'
        "heavy = {'numba', 'scipy', 'mmcv', 'pykdtree'} & set(sys.modules)\n"
        'assert not heavy, heavy\n'
    )
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
