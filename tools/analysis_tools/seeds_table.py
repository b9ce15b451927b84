"""Train a config once for each seed, probe all runs, and print one table: the way to a number.

    python tools/analysis_tools/seeds_table.py \\
        configs/drpoint/drpoint_pointtransformer-tiny_1xb32-12e_cc0-shapes69.py \\
        --tokenizer configs/drpoint/pointdvae_dgcnn-tiny_1xb32-4e_cc0-shapes69.py \\
        --baseline --json table.json

Runs that were interrupted continue, finished ones are not repeated. The tokenizer, where there is
one, is trained once for each seed too. The deviation covers training and point sampling.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.config import DictAction

from mm3dpretrain.evaluation import format_table, run_probe
from mm3dpretrain.visualization import read_scalars
from tools.demos._common import data_time_share, train, write_json


def main(argv: list[str] | None = None) -> dict:
    """Train, probe, print; returns the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config with a `probe` section')
    parser.add_argument('--tokenizer', type=Path, help='config of the tokenizer stage')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/seeds/CONFIG')
    parser.add_argument('--tokenizer-dir', type=Path, help='share the tokenizers of another table')
    parser.add_argument('--baseline', action='store_true', help='add the D2 histogram')
    parser.add_argument('--scale', type=float, default=1.0, help='factor on the epochs')
    parser.add_argument('--json', metavar='FILE', help='write the table to this file')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE'
    )
    args = parser.parse_args(argv)
    out = args.work_dir or Path('work_dirs/seeds') / args.config.stem
    tokenizers = args.tokenizer_dir or out

    start = time.perf_counter()
    checkpoints, shares = [], []
    for seed in args.seeds:
        options = dict(args.cfg_options, **{'randomness.seed': seed})
        if args.tokenizer:
            tokenizer = train(
                args.tokenizer.resolve(),
                tokenizers / f'tokenizer_seed{seed}',
                {'randomness.seed': seed},
                fresh=False,
                scale=args.scale,
            )
            options['model.tokenizer.init_cfg.checkpoint'] = str(tokenizer)
        folder = out / f'seed{seed}'
        checkpoints.append(train(args.config.resolve(), folder, options, False, args.scale))
        shares.append(data_time_share(read_scalars(folder)))
    result = run_probe(checkpoints, seeds=args.seeds, baseline=args.baseline)
    result['data_time_share'] = max(shares)
    result['seconds_total'] = time.perf_counter() - start
    print(format_table(result))
    write_json(Path(args.json or out / 'table.json'), result)
    return result


if __name__ == '__main__':
    main()
