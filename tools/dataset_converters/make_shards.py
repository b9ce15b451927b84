"""Write the data set of a config as WebDataset shards for training at scale.

    python tools/dataset_converters/make_shards.py configs/_base_/datasets/openshape_triplets.py \\
        --out data/openshape_shards --workers 8

dict(type='ShardedTriplets', shards='data/openshape_shards', pipeline=...) reads them.

Of the pipeline of the config, only the steps that read (--steps) are run: augmentation and the draw
of embeddings belong to the training. --num-points draws that many points of each cloud once and for
all. Points and embeddings are stored in half precision. The same command goes on where it was
stopped; <out>/index.json is written last. Samples that cannot be read are left out and told; the
exit code is then 1.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.config import DictAction

from mm3dpretrain.apis.features import build_dataset
from mm3dpretrain.datasets.shard_writer import write_shards
from mm3dpretrain.datasets.worker_pool import default_workers
from mm3dpretrain.utils import prepare_runtime

READING = ('LoadPoints', 'LoadEmbeddings')
SHOWN = 5


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config with the data set, of data alone or of a training')
    parser.add_argument('--out', required=True, help='folder of the shards, made if needed')
    parser.add_argument(
        '--loader', default='train_dataloader', help='whose data set (train_dataloader)'
    )
    parser.add_argument(
        '--samples-per-shard', type=int, default=10000, help='samples in a tar (10000)'
    )
    parser.add_argument(
        '--steps', nargs='+', default=list(READING), metavar='TYPE',
        help=f'transforms of the pipeline to run ({" ".join(READING)}, where they are)',
    )  # fmt: skip
    parser.add_argument('--num-points', type=int, help='draw so many points (all)')
    parser.add_argument(
        '--sampling', choices=['random', 'fps', 'first'], default='random', help='how (random)'
    )
    parser.add_argument('--float32', action='store_true', help='points in single precision')
    parser.add_argument('--seed', type=int, default=0, help='of order and draws (0)')
    parser.add_argument('--keep-order', action='store_true', help='do not shuffle the samples')
    parser.add_argument('--embedding-key', help='name of the model that made the features')
    parser.add_argument('--workers', type=int, default=default_workers(), help='processes (cores)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def reading_dataset(dataset, steps: list[str], num_points: int | None, sampling: str) -> dict:
    """The config of the data set with a pipeline that only reads."""
    if 'datasets' in dataset:
        parts = [reading_dataset(d, steps, num_points, sampling) for d in dataset['datasets']]
        return dict(dataset, datasets=parts)
    pipeline = [step for step in dataset.get('pipeline', []) if step['type'] in steps]
    if num_points is not None:
        pipeline.append(dict(type='SamplePoints', num_points=num_points, method=sampling))
    return dict(dataset, pipeline=pipeline)


def main(argv: list[str] | None = None) -> int:
    """Write what is missing; 1 if a sample failed or nothing can be done."""
    args = parse_args(argv)
    try:
        cfg = prepare_runtime(args.config, args.cfg_options)
        loader = cfg.get(args.loader)
        if loader is None:
            found = sorted(key for key in cfg if key.endswith('_dataloader'))
            raise ValueError(f'{args.config} has no {args.loader}, it has {found}')
        dataset = reading_dataset(
            loader.dataset.to_dict(), args.steps, args.num_points, args.sampling
        )
        summary = write_shards(
            build_dataset(dataset),
            args.out,
            samples_per_shard=args.samples_per_shard,
            seed=None if args.keep_order else args.seed,
            half=not args.float32,
            workers=args.workers,
            embedding_key=args.embedding_key,
            settings=dict(dataset=dataset),
        )
    except KeyboardInterrupt:
        print('\nstopped; the same command goes on from here', file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, ImportError, KeyError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for text in summary.failed[:SHOWN]:
        print(f'left out: {text}', file=sys.stderr)
    if len(summary.failed) > SHOWN:
        print(f'... and {len(summary.failed) - SHOWN} more', file=sys.stderr)
    print(
        f'{args.out}: {summary.samples} samples in {summary.shards} shards, '
        f'{summary.megabytes:.1f} MB ({summary.kept} shards were there), '
        f'{len(summary.failed)} left out'
    )
    return 1 if summary.failed else 0


if __name__ == '__main__':
    sys.exit(main())
