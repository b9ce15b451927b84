"""Score frozen features: linear SVM and kNN, pre-trained beside untrained, over several seeds.

    python tools/probe.py work_dirs/demo/drpoint/pretrain/epoch_20.pth
    python tools/probe.py CHECKPOINT --dataset configs/drpoint/OTHER_RUN.py --baseline
    python tools/probe.py SEED0.pth SEED1.pth SEED2.pth --seeds 0 1 2 --json probe.json

The data come from the `probe` section of the config that the checkpoint stores. The protocol is
described in mm3dpretrain/evaluation/probe_runner.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config, DictAction

from mm3dpretrain.apis import config_of, read_checkpoint
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.evaluation import format_table, run_probe
from mm3dpretrain.utils import prepare_runtime


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', nargs='+', help='one checkpoint, or one for each seed')
    parser.add_argument('--config', help='default: the config stored in the checkpoint')
    parser.add_argument(
        '--dataset', metavar='CONFIG', help='take the `probe` section of this config file instead'
    )
    parser.add_argument(
        '--seeds', type=int, nargs='+', help='default: those of the `probe` section'
    )
    parser.add_argument('--batch-size', type=int, help='clouds at a time')
    parser.add_argument('--num-workers', type=int, default=0, help='loader processes')
    parser.add_argument('--device', default='cpu', help='such as cuda:0 (default: %(default)s)')
    parser.add_argument(
        '--baseline', action='store_true', help='add a D2 histogram with its nearest neighbour'
    )
    parser.add_argument('--json', metavar='FILE', help='write the scores to this file as well')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='replace values of the config, such as probe.test_dataset.data_root=elsewhere',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Probe, print the table and write the JSON file; 1 and one line if that is not possible."""
    args = parse_args(argv)
    try:
        config = args.config or config_of(
            read_checkpoint(args.checkpoint[0])['meta'], args.checkpoint[0]
        )
        config = prepare_runtime(config)
        if args.dataset:
            if not Path(args.dataset).is_file():
                raise FileNotFoundError(f'config file {args.dataset!r} does not exist')
            config.probe = Config.fromfile(args.dataset).get('probe')
        if args.cfg_options:
            config.merge_from_dict(args.cfg_options)
        result = run_probe(
            args.checkpoint,
            config,
            seeds=args.seeds,
            batch_size=args.batch_size,
            device=args.device,
            baseline=args.baseline,
            num_workers=args.num_workers,
        )
    except (RuntimeError, ValueError, KeyError, OSError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(format_table(result))
    print(
        f'{result["num_train"]} training and {result["num_test"]} test clouds, '
        f'seeds {result["seeds"]}, {result["seconds"]:.0f} s'
    )
    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
