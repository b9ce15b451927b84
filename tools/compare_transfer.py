"""Does pre-training help here? Train from scratch and from a checkpoint, at equal budget.

Both arms run the same config with the same seeds; only the weights of one module differ. The test
loop runs once, with the weights of the last epoch. Prints a table with mean, standard deviation
and the paired difference, and draws the learning curves. Runs that were interrupted continue,
finished ones are not repeated, unless the checkpoint holds other weights by now.

    python tools/compare_transfer.py \\
        configs/downstream/classification/pointtransformer-tiny_1xb32-30e_synthetic_ft.py \\
        --checkpoint work_dirs/drpoint_pointtransformer-tiny_1xb32-20e_synthetic/epoch_20.pth
    python tools/compare_transfer.py CONFIG --checkpoint 'pretrain/seed{seed}/epoch_20.pth'
    python tools/compare_transfer.py DETECTOR.py --checkpoint encoder.pth --prefix ''
    python tools/compare_transfer.py \\
        configs/downstream/mmdet3d/pointpillars-tiny_1xb4-80e_synthetic-streets_ft.py \\
        --checkpoint work_dirs/simipu_r18-pillars-tiny_1xb2-16e_synthetic-streets/epoch_16.pth
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.config import DictAction
from mmengine.runner import Runner

from mm3dpretrain.apis.checkpoint import read_checkpoint
from mm3dpretrain.evaluation.transfer import (
    ARMS,
    arm_config,
    compare_arms,
    declared_parts,
    format_comparison,
)
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import read_scalars
from mm3dpretrain.visualization.transfer_curves import draw_transfer_curves
from tools.demos._common import train, write_json


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config with a test loop')
    parser.add_argument(
        '--checkpoint',
        required=True,
        help="pre-training checkpoint; '{seed}' in its name stands for the seed, so that every "
        'run starts from a pre-training of its own',
    )
    parser.add_argument(
        '--prefix',
        default='point_encoder.',
        help="names of the encoder's weights begin so in the checkpoint (default: %(default)s; "
        "'' for an exported encoder); not used with the parts that a config names",
    )
    parser.add_argument(
        '--module',
        help='part of the model to fill (default: the parts that the config names with '
        'PretrainedParts, else backbone)',
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3, 4])
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/transfer/CONFIG')
    parser.add_argument('--scale', type=float, default=1.0, help='factor on the epochs of both')
    parser.add_argument('--fresh', action='store_true', help='repeat finished runs too')
    parser.add_argument('--curves', nargs='+', default=['loss'], help='logged values to draw')
    parser.add_argument(
        '--metrics',
        nargs='+',
        metavar='PART',
        help='print only metrics whose names contain one of these (the files hold all)',
    )
    parser.add_argument('--json', type=Path, help='write the table to this file as well')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE'
    )
    args = parser.parse_args(argv)
    if len(set(args.seeds)) != len(args.seeds):
        parser.error(f'--seeds must differ, got {args.seeds}')
    return args


def main(argv: list[str] | None = None) -> int:
    """Compare; 0, or 1 and one line that says what is missing."""
    args = parse_args(argv)
    try:
        compare(args)
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def compare(args: argparse.Namespace) -> dict:
    """Run what is missing, print the table, write ``table.json`` and ``curves.png``."""
    cfg = prepare_runtime(args.config, args.cfg_options)
    if cfg.get('test_dataloader') is None:
        raise ValueError(f'{args.config} has no test_dataloader')
    checkpoints = {seed: Path(args.checkpoint.replace('{seed}', str(seed))) for seed in args.seeds}
    for path in checkpoints.values():
        if not path.exists():
            raise FileNotFoundError(f'checkpoint {str(path)!r} does not exist')
    module = args.module or (None if declared_parts(cfg) else 'backbone')
    out = args.work_dir or Path('work_dirs/transfer') / args.config.stem
    runs: dict[str, dict] = {arm: {} for arm in ARMS}
    curves: dict[str, list] = {arm: [] for arm in ARMS}
    for seed in args.seeds:
        for arm in ARMS:
            print(f'{arm}, seed {seed}', flush=True)
            start = checkpoints[seed] if arm == 'pretrained' else None
            arm_cfg = arm_config(cfg, module, start, args.prefix)
            arm_cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
            folder = out / arm / f'seed{seed}'
            digest = weights_digest(start) if start else None
            fresh = args.fresh or _other_start(folder, digest)
            runs[arm][seed] = run_arm(arm_cfg, folder, fresh, args.scale)
            write_json(folder / 'start.json', dict(checkpoint=str(start), digest=digest))
            curves[arm].append(read_scalars(folder))
    table = compare_arms(runs)
    print(format_comparison(_selected(table, args.metrics)))
    for path in filter(None, (out / 'table.json', args.json)):
        write_json(path, dict(config=str(args.config), seeds=args.seeds, metrics=table))
    title = f'{args.config.stem}, {len(args.seeds)} seeds'
    print(draw_transfer_curves(curves, out / 'curves.png', args.curves, title))
    return table


def _selected(table: dict, parts: list[str] | None) -> dict:
    if parts is None:
        return table
    chosen = {name: row for name, row in table.items() if any(part in name for part in parts)}
    if not chosen:
        raise ValueError(f'no metric has {parts} in its name, there are {sorted(table)}')
    return chosen


def weights_digest(checkpoint: Path) -> str:
    """Hash of names and values of a checkpoint's weights, whatever else the file holds."""
    digest = hashlib.sha256()
    for key, value in sorted(read_checkpoint(checkpoint)['state_dict'].items()):
        digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _other_start(folder: Path, digest: str | None) -> bool:
    """Whether the finished run in ``folder`` started from other weights than these."""
    path = folder / 'start.json'
    if not path.is_file() or json.loads(path.read_text())['digest'] == digest:
        return False
    print('    the checkpoint has changed since: training again', flush=True)
    return True


def run_arm(cfg, folder: Path, fresh: bool, scale: float) -> dict:
    """Train one run unless it is there, test its last weights, and return the metrics."""
    start = time.perf_counter()
    checkpoint = train(cfg, folder, {}, fresh, scale)
    stored = folder / 'metrics.json'
    if stored.is_file() and stored.stat().st_mtime >= checkpoint.stat().st_mtime:
        return json.loads(stored.read_text())
    # building for the test asks for no pre-training file: the weights come from the run
    test_cfg = cfg.copy()
    test_cfg.update(work_dir=str(folder / 'test'), load_from=str(checkpoint), resume=False)
    test_cfg.update(log_level='ERROR', experiment_name=f'test_{time.time_ns()}')
    metrics = {key: float(value) for key, value in Runner.from_cfg(test_cfg).test().items()
               if isinstance(value, (int, float))}  # fmt: skip
    write_json(stored, metrics)
    print(f'    {time.perf_counter() - start:.0f} s', flush=True)
    return metrics


if __name__ == '__main__':
    sys.exit(main())
