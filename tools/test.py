"""Evaluate a checkpoint with the test loop of its config."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import DictAction
from mmengine.runner import Runner

from mm3dpretrain.utils import prepare_runtime


def main(argv: list[str] | None = None) -> dict:
    """Run the test loop and return its metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file with test_dataloader and test_evaluator')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where logs go; default work_dirs/NAME')
    parser.add_argument('--json', metavar='FILE', help='write the metrics to this file as well')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    cfg = prepare_runtime(args.config, args.cfg_options)
    if cfg.get('test_dataloader') is None:
        raise ValueError(
            f'{args.config} has no test_dataloader: pre-training is judged by tools/probe.py'
        )
    if not Path(args.checkpoint).exists():
        raise FileNotFoundError(f'checkpoint {args.checkpoint!r} does not exist')
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    cfg.load_from = args.checkpoint
    # the weights come from the checkpoint: building must not ask for pre-training files as well
    metrics = Runner.from_cfg(cfg).test()
    if args.json:
        Path(args.json).write_text(json.dumps(metrics, indent=2))
    return metrics


if __name__ == '__main__':
    main()
