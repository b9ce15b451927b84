"""Time mmcv's operators on the CPU kernels of this package against their naive twins in PyTorch.

Sizes are those of mmdet3d's default configs. Both take turns, so that a busy machine slows them
alike; the fastest turn counts. Forward and backward are separate rows where there is a gradient.
The first call, which compiles, is not timed.

Examples::

    python tools/analysis_tools/benchmark_mmcv_cpu.py
    python tools/analysis_tools/benchmark_mmcv_cpu.py --only ball_query nms3d --repeats 9
    python tools/analysis_tools/benchmark_mmcv_cpu.py --json mmcv_cpu.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

# A contestant gets fewer turns than asked for if they would take longer than this.
SECONDS = 6
Case = tuple[str, str, Callable, Callable]


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--only', nargs='+', default=[], help='operators whose name contains one')
    parser.add_argument('--repeats', type=int, default=5, help='turns of each contestant')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads of both')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    args = parser.parse_args()
    if args.repeats < 1 or args.threads < 1:
        parser.error('--repeats and --threads must be at least 1')
    return args


def room(batch: int, size: int) -> torch.Tensor:
    """Points on walls and floor of rooms, (B, N, 3) in metres."""
    xyz = torch.rand(batch, size, 3) * torch.tensor([6.0, 6.0, 2.5])
    face = torch.randint(0, 3, (batch, size, 1))
    return torch.where(torch.arange(3) == face, xyz * 0.02, xyz).contiguous()


def street(size: int, voxel: tuple[float, float, float]) -> torch.Tensor:
    """Voxels (N, 3) int32, z y x, of a LiDAR scan: dense nearby, thin far away."""
    distance = 2 + 68 * torch.rand(size).pow(2)
    angle = (torch.rand(size) - 0.5) * 1.5
    xyz = torch.stack([distance * angle.cos(), distance * angle.sin(), torch.rand(size) * 3], 1)
    xyz[:, 1] += 40
    return (xyz / torch.tensor(voxel)).flip(1).int()


def boxes(*shape: int, spread: float) -> torch.Tensor:
    """Boxes (..., 7) on the ground."""
    out = torch.rand(*shape, 7)
    out[..., :2] *= spread
    out[..., 3:6] = out[..., 3:6] * 3 + 0.5
    out[..., 6] *= 6.28
    return out


def sampling_cases(ops, naive) -> Iterator[Case]:
    """Sampling and neighbourhoods."""
    xyz = room(8, 20000)
    yield (
        'furthest_point_sample',
        'VoteNet: 8 x 20000 -> 2048',
        lambda: ops.furthest_point_sample(xyz, 2048),
        lambda: naive.furthest_point_sample(xyz, 2048),
    )
    features = torch.rand(1, 4096, 67)
    dist = torch.cdist(features, features).square()
    yield (
        'furthest_point_sample_with_dist',
        '3DSSD: 1 x 4096 -> 512',
        lambda: ops.furthest_point_sample_with_dist(dist, 512),
        lambda: naive.furthest_point_sample_with_dist(dist, 512),
    )
    one, centers = xyz[:1].contiguous(), xyz[:1, :2048].contiguous()
    yield (
        'ball_query',
        'VoteNet: 1 x 20000, 2048 balls of 0.2 m, 64',
        lambda: ops.ball_query(0.0, 0.2, 64, one, centers),
        lambda: naive.ball_query(0.0, 0.2, 64, one, centers),
    )
    yield (
        'ball_query (shell)',
        '1 x 20000, 2048 shells 0.2 to 0.4 m, 32',
        lambda: ops.ball_query(0.2, 0.4, 32, one, centers),
        lambda: naive.ball_query(0.2, 0.4, 32, one, centers),
    )
    counts, center_counts = (10000, 10000), (1024, 1024)
    stacks = [torch.tensor(c, dtype=torch.int32) for c in (counts, center_counts)]
    yield (
        'ball_query (stacked)',
        'PV-RCNN: 2 x 10000, 2 x 1024 balls of 0.4 m, 16',
        lambda: ops.ball_query(0.0, 0.4, 16, one[0], centers[0], *stacks),
        lambda: naive.stack_ball_query(0.4, 16, one[0], centers[0], counts, center_counts),
    )
    yield (
        'knn',
        'PAConv: 1 x 20000, 2048 queries, 32',
        lambda: ops.knn(32, one, centers),
        lambda: naive.knn(32, one, centers),
    )
    target, source = xyz[:, :8192].contiguous(), xyz[:, :1024].contiguous()
    yield (
        'three_nn',
        'PointNet++: 8 x 8192 from 1024',
        lambda: ops.three_nn(target, source),
        lambda: naive.three_nn(target, source),
    )


def gathering_cases(ops, naive) -> Iterator[Case]:
    """Gathering, grouping and interpolation, forward and backward."""
    features = torch.rand(8, 128, 2048)
    some = torch.randint(0, 2048, (8, 1024)).int()
    groups = torch.randint(0, 2048, (8, 1024, 32)).int()
    yield from both_ways(
        'gather_points',
        'VoteNet: 8 x 128 x 2048 -> 1024',
        features,
        lambda f: ops.gather_points(f, some),
        lambda f: naive.gather_points(f, some),
    )
    yield from both_ways(
        'grouping_operation',
        'VoteNet: 8 x 128 x 2048 -> 1024 x 32',
        features,
        lambda f: ops.grouping_operation(f, groups),
        lambda f: naive.grouping_operation(f, groups),
    )
    stack, counts, centers = torch.rand(20000, 64), (10000, 10000), (1024, 1024)
    rows = torch.randint(0, 10000, (2048, 16)).int()
    tensors = [torch.tensor(c, dtype=torch.int32) for c in (counts, centers)]
    yield from both_ways(
        'grouping_operation (stacked)',
        'PV-RCNN: 20000 x 64 -> 2048 x 16',
        stack,
        lambda f: ops.grouping_operation(f, rows, *tensors),
        lambda f: naive.stack_grouping_operation(f, rows, counts, centers),
    )
    small, idx = torch.rand(8, 128, 1024), torch.randint(0, 1024, (8, 8192, 3)).int()
    weight = torch.rand(8, 8192, 3)
    yield from both_ways(
        'three_interpolate',
        'PointNet++: 8 x 128 x 1024 -> 8192',
        small,
        lambda f: ops.three_interpolate(f, idx, weight),
        lambda f: naive.three_interpolate(f, idx, weight),
    )


def voxel_cases(ops, naive) -> Iterator[Case]:
    """Dynamic scatter, forward and backward."""
    sizes = {'PointPillars': ((0.16, 0.16, 4.0), 64), 'SECOND': ((0.05, 0.05, 0.1), 4)}
    for model, (voxel, channels) in sizes.items():
        coors, features = street(60000, voxel), torch.randn(60000, channels)
        for kind in ('max', 'mean', 'sum'):
            yield from both_ways(
                f'dynamic_scatter ({kind})',
                f'{model}: 60000 x {channels}',
                features,
                lambda f, coors=coors, kind=kind: ops.dynamic_scatter(f, coors, kind)[0],
                lambda f, coors=coors, kind=kind: naive.dynamic_scatter(f, coors, kind)[0],
            )


def box_cases(ops, naive) -> Iterator[Case]:
    """Points in boxes, overlap and suppression."""
    points, solid = room(8, 20000), boxes(8, 30, spread=6)
    for name in ('points_in_boxes_part', 'points_in_boxes_all'):
        yield (
            name,
            '8 x 20000 points, 30 boxes',
            lambda name=name: getattr(ops, name)(points, solid),
            lambda name=name: getattr(naive, name)(points, solid),
        )
    few, scores = boxes(100, spread=20), torch.rand(100)
    yield (
        'boxes_overlap_bev',
        '100 x 100 boxes',
        lambda: ops.boxes_overlap_bev(few, few),
        lambda: naive.boxes_overlap_bev(few, few),
    )
    yield (
        'nms3d',
        '100 boxes',
        lambda: ops.nms3d(few, scores, 0.25),
        lambda: naive.nms3d(few, scores, 0.25),
    )
    yield (
        'nms3d_normal',
        '100 boxes',
        lambda: ops.nms3d_normal(few, scores, 0.25),
        lambda: naive.nms3d(few, scores, 0.25, rotated=False),
    )


def both_ways(
    name: str, size: str, features: torch.Tensor, operator: Callable, twin: Callable
) -> Iterator[Case]:
    """A row for the forward pass and one for the backward pass."""
    yield name, size, lambda: operator(features), lambda: twin(features)
    wanted = features.clone().requires_grad_()
    passes = []
    for function in (operator, twin):
        out = function(wanted)
        grad = torch.ones_like(out)
        passes.append(
            lambda out=out, grad=grad: torch.autograd.grad(out, wanted, grad, retain_graph=True)
        )
    yield f'{name} backward', size, *passes


def fastest(ours: Callable, twin: Callable, repeats: int) -> tuple[float, float]:
    """Seconds of the fastest turn of both."""
    ours()
    best, spent = [float('inf')] * 2, [0.0] * 2
    for _ in range(repeats):
        for i, function in enumerate((ours, twin)):
            if spent[i] > SECONDS:
                continue
            start = time.perf_counter()
            function()
            took = time.perf_counter() - start
            best[i], spent[i] = min(best[i], took), spent[i] + took
    return best[0], best[1]


def main() -> int:
    """Run all cases and print a table."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    from mm3dpretrain.compat import require, set_cpu_ops
    from mm3dpretrain.compat.mmcv_cpu import naive

    set_cpu_ops('on')
    try:
        ops = require('mmcv.ops', 'det3d', 'this benchmark')
    except ImportError as error:
        print(error, file=sys.stderr)
        return 1
    torch.manual_seed(0)
    rows = []
    print(f'{"operator":<40}{"size":<50}{"kernel":>10}{"twin":>11}{"ratio":>9}')
    for cases in (sampling_cases, gathering_cases, voxel_cases, box_cases):
        for name, size, ours, twin in cases(ops, naive):
            if args.only and not any(part in name for part in args.only):
                continue
            kernel, slow = fastest(ours, twin, args.repeats)
            rows.append(dict(operator=name, size=size, kernel_s=kernel, twin_s=slow))
            print(
                f'{name:<40}{size:<50}{kernel * 1e3:>7.1f} ms{slow * 1e3:>8.1f} ms'
                f'{slow / kernel:>8.1f}x',
                flush=True,
            )
    if not rows:
        print(f'no operator is called like {" or ".join(args.only)}', file=sys.stderr)
        return 1
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else float('nan')
    print(f'{args.threads} threads, torch {torch.__version__}, load of the machine {load:.1f}')
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
