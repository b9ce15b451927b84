"""N-way K-shot classification over 10 folds: frozen features, fine-tuning, or both.

Every fold is run from scratch and from a checkpoint, with the same samples and seed. Prints mean
and standard deviation over the folds and the paired difference. Finished folds are not repeated,
interrupted ones continue.

    python tools/few_shot.py \\
        configs/downstream/few_shot/pointtransformer-tiny_1xb32-60e_shapes69-fewshot_ft.py \\
        --checkpoint work_dirs/drpoint_pointtransformer-tiny_1xb32-12e_cc0-shapes69/epoch_12.pth
    python tools/few_shot.py CONFIG --checkpoint C.pth --way 10 --shot 20 --protocols probe
    python tools/few_shot.py CONFIG --checkpoint 'pretrain/seed{seed}/epoch_20.pth' --seeds 0 1 2

Protocols: `probe` trains a linear SVM and a nearest-neighbour vote on frozen features; `finetune`
trains the config as it is and tests the weights of the last epoch.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config, DictAction

from mm3dpretrain.datasets.subsets import FOLD_SEEDS
from mm3dpretrain.evaluation.few_shot import (
    fold_config,
    format_folds,
    probe_fold,
    summarize_folds,
)
from mm3dpretrain.evaluation.transfer import ARMS, arm_config
from mm3dpretrain.utils import prepare_runtime
from tools.compare_transfer import run_arm
from tools.demos._common import write_json

PROTOCOLS = ('probe', 'finetune')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config below configs/downstream/few_shot')
    parser.add_argument(
        '--checkpoint',
        help="pre-training checkpoint; '{seed}' in its name stands for the seed. Without one only "
        'the scratch column is filled',
    )
    parser.add_argument(
        '--prefix',
        default='point_encoder.',
        help="names of the encoder's weights begin so in the checkpoint (default: %(default)s; "
        "'' for an exported encoder)",
    )
    parser.add_argument('--way', type=int, default=5, help='classes (default: %(default)s)')
    parser.add_argument(
        '--shot', type=int, default=10, help='supports of each class (default: %(default)s)'
    )
    parser.add_argument(
        '--folds', type=int, default=len(FOLD_SEEDS), help='the first so many (default: all 10)'
    )
    parser.add_argument(
        '--protocols', nargs='+', choices=PROTOCOLS, default=list(PROTOCOLS), metavar='PROTOCOL',
        help='probe, finetune (default: both)',
    )  # fmt: skip
    parser.add_argument(
        '--arms', nargs='+', choices=ARMS, default=list(ARMS), metavar='ARM',
        help='scratch, pretrained (default: both)',
    )  # fmt: skip
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0], help='of weights and order (default: 0)'
    )
    parser.add_argument('--work-dir', type=Path, help='default: work_dirs/few_shot/CONFIG')
    parser.add_argument('--scale', type=float, default=1.0, help='factor on the epochs')
    parser.add_argument('--fresh', action='store_true', help='repeat finished folds too')
    parser.add_argument('--device', default='cpu', help='of the probe (default: %(default)s)')
    parser.add_argument('--json', type=Path, help='write the table to this file as well')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE'
    )
    args = parser.parse_args(argv)
    if not 1 <= args.folds <= len(FOLD_SEEDS):
        parser.error(f'--folds must be 1 to {len(FOLD_SEEDS)}, got {args.folds}')
    for name in ('seeds', 'protocols', 'arms'):
        if len(set(getattr(args, name))) != len(getattr(args, name)):
            parser.error(f'--{name} must differ, got {getattr(args, name)}')
    return args


def main(argv: list[str] | None = None) -> int:
    """Run all folds; 0, or 1 and one line that says what is missing."""
    args = parse_args(argv)
    try:
        run(args)
    except (FileNotFoundError, ValueError, RuntimeError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


def run(args: argparse.Namespace) -> dict:
    """Run what is missing, print the table and write ``table.json``."""
    cfg = prepare_runtime(args.config, args.cfg_options)
    arms = [arm for arm in args.arms if arm == 'scratch' or args.checkpoint]
    if not arms:
        raise ValueError('--arms pretrained needs --checkpoint')
    checkpoints = dict.fromkeys(args.seeds)
    if 'pretrained' in arms:
        for seed in args.seeds:
            checkpoints[seed] = args.checkpoint.replace('{seed}', str(seed))
            if not Path(checkpoints[seed]).exists():
                raise FileNotFoundError(f'checkpoint {checkpoints[seed]!r} does not exist')
    out = args.work_dir or Path('work_dirs/few_shot') / args.config.stem
    out = out / f'{args.way}way_{args.shot}shot'
    runs: dict[str, dict] = {arm: {} for arm in arms}
    tasks = [(s, f, arm) for s in args.seeds for f in range(args.folds) for arm in arms]
    for number, (seed, fold, arm) in enumerate(tasks, start=1):
        start = checkpoints[seed] if arm == 'pretrained' else None
        task = arm_config(
            fold_config(cfg, args.way, args.shot, fold), 'backbone', start, args.prefix
        )
        task.randomness = {**cfg.get('randomness', {}), 'seed': seed}
        folder = out / arm / f'seed{seed}' / f'fold{fold}'
        print(f'[{number}/{len(tasks)}] {arm}, seed {seed}, fold {fold}', flush=True)
        runs[arm][seed, fold] = run_task(task, start, folder, args)
    table = summarize_folds(runs)
    print(
        f'\n{args.way}-way {args.shot}-shot, mean +- standard deviation over {args.folds} folds'
        + (f' and {len(args.seeds)} seeds' if len(args.seeds) > 1 else '')
    )
    print(format_folds(table))
    result = dict(
        config=str(args.config), checkpoint=args.checkpoint, way=args.way, shot=args.shot,
        folds=args.folds, seeds=args.seeds, metrics=table,
    )  # fmt: skip
    for path in filter(None, (out / 'table.json', args.json)):
        write_json(path, result)
    return result


def run_task(
    cfg: Config, checkpoint: str | None, folder: Path, args: argparse.Namespace
) -> dict[str, float]:
    """Accuracies of one fold of one arm, computed or read from an earlier run."""
    found = {}
    if 'probe' in args.protocols:
        found.update(probe_once_only(cfg, checkpoint, folder / 'probe.json', args))
    if 'finetune' in args.protocols:
        metrics = run_arm(cfg, folder / 'finetune', args.fresh, args.scale)
        found['finetune'] = metrics['accuracy/top1']
    print('    ' + ', '.join(f'{name} {value:.1f}' for name, value in found.items()), flush=True)
    return found


def probe_once_only(
    cfg: Config, checkpoint: str | None, path: Path, args: argparse.Namespace
) -> dict[str, float]:
    """The probe's accuracies, from ``path`` if it holds those of this config and checkpoint."""
    about = f'{cfg.pretty_text}\n{checkpoint}\n{args.prefix}'
    if checkpoint is not None:
        status = Path(checkpoint).stat()
        about += f'\n{status.st_size} {status.st_mtime_ns}'
    key = hashlib.sha256(about.encode()).hexdigest()
    if path.is_file() and not args.fresh:
        stored = json.loads(path.read_text())
        if stored['key'] == key:
            return stored['accuracy']
    start = time.perf_counter()
    accuracy = probe_fold(cfg, checkpoint, args.prefix, cfg.randomness.seed, args.device)
    write_json(path, dict(key=key, accuracy=accuracy, seconds=time.perf_counter() - start))
    return accuracy


if __name__ == '__main__':
    sys.exit(main())
