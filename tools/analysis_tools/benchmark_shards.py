"""Samples a second out of shards, against one file a sample.

    python tools/analysis_tools/benchmark_shards.py
    python tools/analysis_tools/benchmark_shards.py --num-points 10000 --image-dim 1280 --workers 2

Writes random clouds with embeddings and captions into a temporary folder (or --folder), once as
shards and once as one .npy of a pickled dict for each sample, OpenShape's layout. Then it reads
them as a training does: loader processes, pipeline (draw of the embeddings, packing), batches.
Reading is repeated and the fastest pass counts, since other programs only make it slower. The files
come from the page cache: this measures processors, not the disk.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader

from mm3dpretrain.datasets import OpenShapeTriplets, SeededSampler, ShardedTriplets
from mm3dpretrain.datasets.shard_writer import write_shards

CAPTIONS = 5
UID = 's{:07d}'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--samples', type=int, default=4000, help='in each layout (4000)')
    parser.add_argument('--num-points', type=int, default=1024, help='points of a sample (1024)')
    parser.add_argument('--views', type=int, default=12, help='image features of a sample (12)')
    parser.add_argument('--image-dim', type=int, default=512, help='width of the features (512)')
    parser.add_argument('--samples-per-shard', type=int, default=1000, help='(1000)')
    parser.add_argument('--batch-size', type=int, default=64, help='(64)')
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 2], help='(0 2)')
    parser.add_argument('--repeats', type=int, default=3, help='passes, the best counts (3)')
    parser.add_argument('--folder', help='where the files go; they stay there (a temporary one)')
    parser.add_argument('--out', help='JSON file of the figures')
    return parser.parse_args(argv)


def write_files(root: Path, args: argparse.Namespace) -> OpenShapeTriplets:
    """Random shapes in OpenShape's layout, float32 as there, and the data set of them."""
    rng = np.random.default_rng(0)
    width = (1, args.image_dim)

    def feature() -> np.ndarray:
        return rng.standard_normal(width, np.float32)

    items = []
    (root / 'ShapeNet').mkdir(parents=True, exist_ok=True)
    for i in range(args.samples):
        uid = UID.format(i)
        data = dict(
            xyz=rng.uniform(-1, 1, (args.num_points, 3)).astype(np.float32),
            rgb=rng.uniform(0, 1, (args.num_points, 3)).astype(np.float32),
            image_feat=rng.standard_normal((args.views, args.image_dim), np.float32),
            text=['a chair'],
            text_feat=[dict(original=feature(), prompt_avg=feature())],
            blip_caption='a wooden chair',
            blip_caption_feat=dict(original=feature(), prompt_avg=feature()),
            msft_caption='a brown chair with four legs',
            msft_caption_feat=dict(original=feature(), prompt_avg=feature()),
            retrieval_text=['oak chair', 'dining chair'],
            retrieval_text_feat=[dict(original=feature()), dict(original=feature())],
        )
        path = f'ShapeNet/{uid}.npy'
        np.save(root / path, data, allow_pickle=True)
        items.append(dict(dataset='ShapeNet', group='', id=uid, data_path=path))
    split = root / 'meta_data' / 'split'
    split.mkdir(parents=True, exist_ok=True)
    (split / 'train_all.json').write_text(json.dumps(items))
    return OpenShapeTriplets(str(root), text_filter=False)


def pipeline(args: argparse.Namespace) -> list[dict]:
    """What follows the reading in a training without augmentation."""
    return [dict(type='PickEmbeddings', embed_dim=args.image_dim), dict(type='PackTriplets')]


def rate(make: Callable[[], Iterable], samples: int, repeats: int) -> tuple[float, float]:
    """Samples a second, and a second of this process's processor time, of the fastest passes.

    The start of loader processes is not counted.
    """
    best = busy = 0.0
    for _ in range(repeats):
        batches = iter(make())
        first = len(next(batches)['data_samples'])
        start, process, count = time.perf_counter(), time.process_time(), 0
        for batch in batches:
            count += len(batch['data_samples'])
        best = max(best, count / (time.perf_counter() - start))
        busy = max(busy, count / (time.process_time() - process))
        if first + count != samples:
            raise RuntimeError(f'{first + count} of {samples} samples came')
    return best, busy


def measure(root: Path, args: argparse.Namespace) -> dict:
    """All figures; prints a line for each."""
    single = write_files(root / 'files', args)
    start = time.perf_counter()
    written = write_shards(single, root / 'shards', args.samples_per_shard)
    results = dict(
        vars(args),
        shard_kilobytes=1000 * written.megabytes / args.samples,
        file_kilobytes=_size(root / 'files') / args.samples / 1000,
        written_per_second=args.samples / (time.perf_counter() - start),
    )
    for layout in ('shards', 'files'):
        size = results[f'{layout[:-1]}_kilobytes']
        for workers in args.workers:

            def make(layout=layout, workers=workers) -> DataLoader:
                if layout == 'shards':
                    data = ShardedTriplets(
                        str(root / 'shards'), num_epochs=1, pipeline=pipeline(args)
                    )
                    sampler = None
                else:
                    data = OpenShapeTriplets(
                        str(root / 'files'), text_filter=False, pipeline=pipeline(args)
                    )
                    sampler = SeededSampler(data, seed=0)
                return DataLoader(
                    data, args.batch_size, sampler=sampler, num_workers=workers,
                    collate_fn=default_collate,
                )  # fmt: skip

            speed, busy = rate(make, args.samples, args.repeats)
            results[f'{layout}_workers{workers}'] = speed
            line = (
                f'{layout:7s} {workers} workers: {speed:7.0f} samples/s, '
                f'{speed * size / 1000:6.0f} MB/s ({size:.0f} kB a sample)'
            )
            if workers == 0:  # a figure that other programs do not change
                results[f'{layout}_per_core'] = busy
                line += f', {busy:.0f} samples a second of processor time'
            print(line)
    return results


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob('*.npy'))


def main(argv: list[str] | None = None) -> int:
    """Measure; 1 if it cannot."""
    args = parse_args(argv)
    init_default_scope('mm3dpretrain')
    torch.set_num_threads(1)
    try:
        if min(args.samples, args.num_points, args.views, args.repeats, args.batch_size) < 1:
            raise ValueError('samples, points, views, repeats and batch size must be positive')
        with tempfile.TemporaryDirectory() as temporary:
            results = measure(Path(args.folder or temporary), args)
        if args.out:
            Path(args.out).parent.mkdir(parents=True, exist_ok=True)
            Path(args.out).write_text(json.dumps(results, indent=1))
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
