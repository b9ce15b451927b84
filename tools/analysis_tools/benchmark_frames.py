"""Time the overlap of RGB-D frames and their correspondences, and say how exact the overlap is.

Frames of a synthetic room are written into a temporary folder. Reading the depth, once in every
process, is part of the times. On a busy machine look at the seconds of processor time. Then every
pair's overlap on the subsampled grid is compared with that of all pixels.

    python tools/analysis_tools/benchmark_frames.py
    python tools/analysis_tools/benchmark_frames.py --pairs 1000 --stride 4 --workers 2
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mm3dpretrain.datasets import SyntheticRoomsFrames
from mm3dpretrain.datasets.frame_files import DEPTH_RANGE, read_checked_depth
from mm3dpretrain.datasets.frame_matching import View, sample_matches
from mm3dpretrain.datasets.frame_overlap import (
    OverlapSettings,
    measure_overlap,
    pair_overlap,
    scan_overlap,
)
from mm3dpretrain.datasets.synthetic import write_synthetic_rooms
from mm3dpretrain.datasets.worker_pool import run_jobs

MIN_OVERLAP = 0.3


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--pairs', type=int, default=1000, help='at least so many (1000)')
    parser.add_argument('--image-size', type=int, nargs=2, default=(240, 320), metavar=('H', 'W'))
    parser.add_argument('--stride', type=int, default=4, help='of the grid, pixels (4)')
    parser.add_argument('--depth-tol', type=float, default=0.05, help='metres (0.05)')
    parser.add_argument('--queries', type=int, default=256, help='correspondences of a pair (256)')
    parser.add_argument('--workers', type=int, default=2, help='processes for the overlap (2)')
    parser.add_argument('--no-accuracy', action='store_true', help='leave the slow full grid out')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    args = parser.parse_args(argv)
    if min(args.pairs, args.stride, args.workers, args.queries) < 1 or not args.depth_tol > 0:
        parser.error('--pairs, --stride, --workers, --queries and --depth-tol must be positive')
    return args


def make_frames(folder: Path, num: int, size: tuple[int, int]) -> list[dict]:
    """Records of ``num`` frames of a new room."""
    write_synthetic_rooms(
        folder, train=1, val=0, frames=num, steps=1, image_size=size, num_points=1000,
        workers=1, progress=False,
    )  # fmt: skip
    dataset = SyntheticRoomsFrames(folder, lazy_init=True)
    (name,) = dataset.list_scans()
    return dataset.prepare_scan(name, dataset.read_scan(name)).frames


def match(pairs: np.ndarray, frames: list[dict], num: int, depth_tol: float) -> np.ndarray:
    """Valid correspondences of each pair of a chunk."""
    rng = np.random.default_rng(0)
    views = {}
    for number in np.unique(pairs):
        frame = frames[number]
        depth = read_checked_depth(frame, DEPTH_RANGE)
        views[number] = View(depth, frame['cam2img'], np.linalg.inv(frame['cam2world']))
    found = (sample_matches(views[a], views[b], num, depth_tol, 1.0, rng) for a, b in pairs)
    return np.array([valid.sum() for *_, valid in found])


def match_all(frames: list[dict], pairs: np.ndarray, args: argparse.Namespace) -> np.ndarray:
    """Valid correspondences of all pairs, in several processes."""
    function = partial(match, frames=frames, num=args.queries, depth_tol=args.depth_tol)
    found = []
    for outcome in run_jobs(function, np.array_split(pairs, 2 * args.workers), args.workers):
        if outcome.error is not None:
            raise RuntimeError(outcome.error)
        found.append(outcome.value)
    return np.concatenate(found)


def timed(function: Callable, *arguments) -> tuple:
    """What a function returns, seconds on the wall, seconds of processor time of all processes."""

    def processor() -> float:
        return sum(os.times()[:4])

    start, work = time.perf_counter(), processor()
    value = function(*arguments)
    return value, round(time.perf_counter() - start, 4), round(processor() - work, 2)


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    args = parse_args(argv)
    num = math.ceil((1 + math.sqrt(1 + 8 * args.pairs)) / 2)
    settings = OverlapSettings(args.stride, args.depth_tol, DEPTH_RANGE)
    with tempfile.TemporaryDirectory() as folder:
        try:
            frames = make_frames(Path(folder) / 'room', num, tuple(args.image_size))
        except (ValueError, OSError) as error:
            print(f'error: {error}', file=sys.stderr)
            return 1
        found, *overlap_time = timed(
            measure_overlap, {'room': frames}, settings, Path(folder) / 'overlap', args.workers
        )
        share = found['room'].share
        pairs = np.array(list(combinations(range(num), 2)))
        # most pairs see nothing in common, as those of a list before it is cut at the threshold
        _, *match_time = timed(match_all, frames, pairs, args)
        good = np.argwhere(np.triu(pair_overlap(share) >= MIN_OVERLAP, 1))
        valid = match_all(frames, good, args) if len(good) else np.zeros(1)
        summary = dict(
            pairs=len(pairs),
            image_size=list(args.image_size),
            stride=args.stride,
            workers=args.workers,
            overlap_seconds=overlap_time[0],
            overlap_processor_seconds=overlap_time[1],
            correspondence_seconds=match_time[0],
            correspondence_processor_seconds=match_time[1],
            pairs_with_overlap=len(good),
            valid_correspondences=round(float(valid.mean() / args.queries), 4),
        )
        if not args.no_accuracy:
            exact = scan_overlap(frames, settings._replace(stride=1)).share
            error = np.abs(share - exact)
            changed = (pair_overlap(share) >= MIN_OVERLAP) != (pair_overlap(exact) >= MIN_OVERLAP)
            summary.update(
                largest_error=round(float(error.max()), 5),
                mean_error=round(float(error.mean()), 5),
                pairs_decided_otherwise=int(np.triu(changed, 1).sum()),
            )
    for key, value in summary.items():
        print(f'{key:34} {value}')
    if args.json:
        args.json.write_text(json.dumps(summary, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
