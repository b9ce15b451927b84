"""Time the point operators against their naive twins and every installed peer.

All contestants of a case take turns, so that a busy machine slows all of them alike: read the
ratios. Times include what a user pays, conversions from and to tensors too; the first call, which
compiles or loads, is not timed. Peak memory of the Chamfer distance is measured in fresh processes.

Examples::

    python tools/analysis_tools/benchmark_ops.py
    python tools/analysis_tools/benchmark_ops.py --ops knn chamfer --repeats 20 --json ops.json
    python tools/analysis_tools/benchmark_ops.py --device cuda
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

OPS = ('fps', 'knn', 'ball_query', 'group', 'three_nn', 'chamfer')
# Above so many pairs a full distance matrix would not fit beside other work.
MAX_PAIRS = 150e6
# A contestant gets fewer turns than asked for if they would take longer than this.
SECONDS = 5
MEMORY_CASE = (8, 2048, 2048)


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--ops', nargs='+', choices=OPS, default=OPS, help='which operators')
    parser.add_argument('--repeats', type=int, default=9, help='turns of each contestant')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads of everybody')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    parser.add_argument('--memory-of', choices=('ours', 'naive', 'cdist'), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.repeats < 1 or args.threads < 1:
        parser.error('--repeats and --threads must be at least 1')
    return args


def optional(name: str):
    """A module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except Exception:  # a broken extension may raise anything
        return None


def clouds(batch: int, size: int, device: str, seed: int = 0):
    """(B, N, 3) points on bumpy spheres, like scanned objects."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    xyz = torch.nn.functional.normalize(torch.randn(batch, size, 3, generator=generator), dim=-1)
    xyz = xyz * (1 + 0.3 * torch.sin(5 * xyz[..., :1]))
    return (xyz + 0.005 * torch.randn(xyz.shape, generator=generator)).to(device)


def take_turns(contestants: dict[str, Callable], repeats: int, device: str) -> dict[str, dict]:
    """Median and minimum in ms of every contestant, interleaved; slow ones skip turns."""
    import torch

    wait = torch.cuda.synchronize if device.startswith('cuda') else (lambda: None)
    turns = {}
    for name, run in contestants.items():
        run()
        start = time.perf_counter()
        run()
        wait()
        turns[name] = max(1, min(repeats, int(SECONDS / (time.perf_counter() - start))))
    times = {name: [] for name in contestants}
    for turn in range(repeats):
        for name, run in contestants.items():
            if turn >= turns[name]:
                continue
            wait()
            time.sleep(0.02)  # until the threads of the one before have stopped spinning
            start = time.perf_counter()
            run()
            wait()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {
        name: dict(median_ms=statistics.median(t), min_ms=min(t), turns=len(t))
        for name, t in times.items()
    }


def numba_loop() -> Callable:
    """The furthest point sampling that one writes down first, compiled, a thread a cloud."""
    import numba
    import numpy as np

    @numba.njit(parallel=True)
    def sample(points, num):
        batch, size, _ = points.shape
        out = np.empty((batch, num), np.int64)
        for b in numba.prange(batch):
            dist = np.full(size, np.inf, points.dtype)
            last = 0
            for i in range(num):
                out[b, i] = last
                best, far = -1.0, 0
                for j in range(size):
                    d = (
                        (points[b, j, 0] - points[b, last, 0]) ** 2
                        + (points[b, j, 1] - points[b, last, 1]) ** 2
                        + (points[b, j, 2] - points[b, last, 2]) ** 2
                    )
                    if d < dist[j]:
                        dist[j] = d
                    if dist[j] > best:
                        best, far = dist[j], j
                last = far
        return out

    return sample


def fps_cases(args):
    """Furthest point sampling."""
    from mm3dpretrain import ops
    from mm3dpretrain.ops import naive

    pool = ThreadPoolExecutor(args.threads)
    fpsample, loop = optional('fpsample'), numba_loop()
    for batch, size, num in ((8, 8192, 1024), (4, 40000, 2048), (16, 1024, 64)):
        xyz = clouds(batch, size, args.device)
        arrays = xyz.cpu().numpy()
        runs = {
            'ours': lambda x=xyz, n=num: ops.furthest_point_sample(x, n),
            'naive twin (torch loop)': lambda x=xyz, n=num: naive.furthest_point_sample(x, n),
        }
        if args.device == 'cpu':
            runs['numba loop'] = lambda x=arrays, n=num: loop(x, n)
        if args.device == 'cpu' and fpsample:
            # The height that the package recommends for the size, and serial or threaded,
            # whichever is faster.
            height = 3 if size < 5000 else 7

            def bucket(cloud, n=num, h=height):
                return fpsample.bucket_fps_kdline_sampling(cloud, n, h=h, start_idx=0)

            runs['fpsample'] = lambda x=arrays, f=bucket: [f(cloud) for cloud in x]
            runs['fpsample, threads'] = lambda x=arrays, f=bucket: list(pool.map(f, x))
        yield f'{batch} x {size} -> {num}', runs


def tree_peers(args, query, points, k) -> dict[str, Callable]:
    """kNN of the tree packages that are installed, one tree a cloud."""
    arrays = list(zip(query.cpu().numpy(), points.cpu().numpy()))
    runs = {}
    if args.device != 'cpu':
        return runs
    if pykdtree := optional('pykdtree.kdtree'):
        runs['pykdtree'] = lambda: [pykdtree.KDTree(p).query(q, k) for q, p in arrays]
    if scipy := optional('scipy.spatial'):
        runs['scipy cKDTree'] = lambda: [
            scipy.cKDTree(p).query(q, k, workers=args.threads) for q, p in arrays
        ]
    if open3d := optional('open3d'):

        def search(q, p):
            index = open3d.core.nns.NearestNeighborSearch(open3d.core.Tensor(p))
            index.knn_index()
            return index.knn_search(open3d.core.Tensor(q), k)

        runs['open3d'] = lambda: [search(q, p) for q, p in arrays]
    return runs


def knn_cases(args):
    """k nearest neighbours."""
    import torch

    from mm3dpretrain import ops
    from mm3dpretrain.ops import naive

    for batch, size, m, k in ((8, 8192, 1024, 32), (4, 40000, 2048, 32), (16, 1024, 64, 32)):
        points = clouds(batch, size, args.device)
        query = points[:, :m].contiguous()

        def cdist(q=query, p=points, k=k):
            return [torch.cdist(a, b).topk(k, largest=False) for a, b in zip(q, p)]

        runs = {'ours': lambda q=query, p=points, k=k: ops.knn(q, p, k)}
        if batch * size * m <= MAX_PAIRS:
            runs['naive twin'] = lambda q=query, p=points, k=k: naive.knn(q, p, k)
        runs['torch cdist + topk'] = cdist
        yield f'{batch} x ({size}, {m} queries, k {k})', runs | tree_peers(args, query, points, k)


def ball_query_cases(args):
    """Ball query."""
    from mm3dpretrain import ops
    from mm3dpretrain.ops import _torch, naive

    for batch, size, m, k, radius in ((8, 8192, 1024, 32, 0.2), (2, 40000, 2048, 64, 0.1)):
        points = clouds(batch, size, args.device)
        call = (points[:, :m].contiguous(), points, radius, k)
        runs = {'ours': lambda c=call: ops.ball_query(*c)}
        if batch * size * m <= MAX_PAIRS:
            runs['naive twin'] = lambda c=call: naive.ball_query(*c)
        runs['torch, chunked'] = lambda c=call: _torch.ball_query(*c, None, None, False, False)
        yield f'{batch} x ({size}, {m} queries, k {k}, r {radius})', runs


def group_cases(args):
    """Grouping, forward and backward."""
    import torch

    from mm3dpretrain import ops
    from mm3dpretrain.ops import naive

    for batch, size, channels, m, k in ((8, 8192, 3, 1024, 32), (8, 1024, 128, 256, 32)):
        features = torch.randn(batch, size, channels, device=args.device, requires_grad=True)
        idx = torch.randint(size, (batch, m, k), device=args.device)

        def run(function, f=features, i=idx):
            f.grad = None
            function(f, i).sum().backward()

        yield (
            f'{batch} x {size} x {channels} -> {m} x {k}, with backward',
            {
                'ours': lambda r=run: r(ops.group_points),
                'naive twin': lambda r=run: r(naive.group_points),
            },
        )


def three_nn_cases(args):
    """Three nearest neighbours."""
    import torch

    from mm3dpretrain import ops
    from mm3dpretrain.ops import naive

    for batch, size, m in ((8, 1024, 8192), (16, 64, 1024)):
        points, query = clouds(batch, size, args.device), clouds(batch, m, args.device, 1)
        yield (
            f'{batch} x ({size}, {m} queries)',
            {
                'ours': lambda q=query, p=points: ops.three_nn(q, p),
                'naive twin': lambda q=query, p=points: naive.three_nn(q, p),
                'torch cdist + topk': lambda q=query, p=points: torch.cdist(q, p).topk(
                    3, largest=False
                ),
            }
            | tree_peers(args, query, points, 3),
        )


def chamfer_contestants(batch: int, n: int, m: int, device: str) -> dict[str, Callable]:
    """Chamfer distance, forward and backward."""
    import torch

    from mm3dpretrain import ops
    from mm3dpretrain.ops import naive

    x = clouds(batch, n, device).requires_grad_()
    y = clouds(batch, m, device, 1).requires_grad_()

    def by_cdist(x, y):
        dist = torch.cdist(x, y).square()
        return dist.min(2).values.mean() + dist.min(1).values.mean()

    def run(function):
        x.grad = y.grad = None
        function(x, y).backward()

    return {
        'ours': lambda: run(ops.chamfer_distance),
        'naive': lambda: run(naive.chamfer_distance),
        'cdist': lambda: run(by_cdist),
    }


def chamfer_cases(args):
    """Chamfer distance, forward and backward."""
    for batch, n, m in (MEMORY_CASE, (512, 32, 32), (2, 8192, 8192)):
        runs = chamfer_contestants(batch, n, m, args.device)
        if batch * n * m > MAX_PAIRS:
            runs = {'ours': runs['ours']}
        names = {'naive': 'naive twin', 'cdist': 'torch cdist'}
        yield (
            f'{batch} x {n} x {m}, with backward',
            {names.get(name, name): run for name, run in runs.items()},
        )


CASES = dict(zip(OPS, (fps_cases, knn_cases, ball_query_cases, group_cases, three_nn_cases,
                       chamfer_cases)))  # fmt: skip


def peak_mb() -> float:
    """Peak resident memory of this process so far."""
    status = Path('/proc/self/status')
    if status.is_file():  # what `getrusage` says may be inherited from the parent process
        for line in status.read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if platform.system() == 'Darwin' else 1 << 10)


def report_memory(name: str) -> None:
    """Print the growth of this process' peak memory by one forward and backward pass."""
    chamfer_contestants(1, 64, 64, 'cpu')[name]()  # loads and compiles
    run = chamfer_contestants(*MEMORY_CASE, 'cpu')[name]
    before = peak_mb()
    run()
    print(peak_mb() - before)


def chamfer_memory(threads: int) -> dict[str, float]:
    """Extra memory in MB of the Chamfer distance, a fresh process each."""
    result = {}
    for name in ('ours', 'naive', 'cdist'):
        command = [sys.executable, __file__, '--threads', str(threads), '--memory-of', name]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(f'memory measurement of {name} failed:\n{run.stderr}')
        result[name] = float(run.stdout)
    return result


def main() -> None:
    """Run the chosen cases and print a table."""
    args = parse_args()
    os.environ['OMP_NUM_THREADS'] = str(args.threads)  # before any library starts its threads
    os.environ['NUMBA_NUM_THREADS'] = str(args.threads)
    import torch

    torch.set_num_threads(args.threads)
    if args.memory_of:
        report_memory(args.memory_of)
        return
    if args.device.startswith('cuda') and not torch.cuda.is_available():
        sys.exit(f'--device {args.device}: PyTorch sees no CUDA device')
    machine = torch.cuda.get_device_name() if args.device != 'cpu' else platform.processor()
    print(f'{args.device} {machine}, {args.threads} threads, torch {torch.__version__}')
    rows = []
    for op in args.ops:
        for case, contestants in CASES[op](args):
            result = take_turns(contestants, args.repeats, args.device)
            print(f'\n{op}: {case}')
            for name, times in result.items():
                ratio = times['median_ms'] / result['ours']['median_ms']
                print(
                    f'  {name:24s} median {times["median_ms"]:9.2f} ms   '
                    f'min {times["min_ms"]:9.2f} ms   x {ratio:6.2f}'
                )
                rows.append(dict(op=op, case=case, contestant=name, ratio=ratio, **times))
    memory = None
    if 'chamfer' in args.ops and args.device == 'cpu':
        memory = chamfer_memory(args.threads)
        print(f'\nchamfer: extra memory at {" x ".join(map(str, MEMORY_CASE))}, with backward')
        for name, size in memory.items():
            print(f'  {name:24s} {size:9.1f} MB')
    if args.json:
        figures = dict(
            device=args.device, threads=args.threads, torch=torch.__version__, rows=rows,
            chamfer_extra_mb=memory,
        )  # fmt: skip
        temporary = args.json.with_suffix(args.json.suffix + '.tmp')
        temporary.write_text(json.dumps(figures, indent=2))
        temporary.replace(args.json)


if __name__ == '__main__':
    main()
