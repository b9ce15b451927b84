"""Train any config: a tokenizer, a pre-training method or a downstream task."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import FlexibleRunner, Runner, find_latest_checkpoint

from mm3dpretrain.utils import prepare_runtime


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, such as configs/drpoint/*.py')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; default work_dirs/NAME')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='continue a run: from CHECKPOINT, or without a value from the latest one in the '
        'work directory (a fresh start where there is none)',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='mixed precision: float16 with loss scaling on a GPU, bfloat16 elsewhere',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by the global batch size over the config's "
        'auto_scale_lr.base_batch_size',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='replace values of the config, such as model.loss_weights.dr=0.1',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torch's own launcher passes the dashed form
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def set_amp(optim_wrapper: ConfigDict) -> None:
    """Switch a (possibly multi-optimiser) wrapper config to mixed precision, in place.

    Raises:
        ValueError: if the config already asks for a wrapper that mixed precision cannot replace.
    """
    if 'constructor' in optim_wrapper and 'optimizer' not in optim_wrapper:
        # several optimisers share one backward pass: bfloat16 needs no loss scaling to share
        for branch in optim_wrapper.values():
            if isinstance(branch, dict):
                branch['type'] = 'BFloat16OptimWrapper'
        return
    kind = optim_wrapper.get('type', 'OptimWrapper')
    if kind in ('AmpOptimWrapper', 'BFloat16OptimWrapper'):
        return
    if kind != 'OptimWrapper':
        raise ValueError(f'--amp cannot replace optim_wrapper type {kind!r}')
    if torch.cuda.is_available():
        optim_wrapper.type = 'AmpOptimWrapper'
        optim_wrapper.setdefault('loss_scale', 'dynamic')
    else:
        optim_wrapper.type = 'BFloat16OptimWrapper'


def prepare_config(args: argparse.Namespace) -> Config:
    """The config with all that the command line says about it.

    Raises:
        FileNotFoundError: if the config or the checkpoint to resume from does not exist.
        ValueError: if ``--auto-scale-lr`` is given for a config without ``auto_scale_lr``.
    """
    cfg = prepare_runtime(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    if args.amp:
        set_amp(cfg.optim_wrapper)
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                f'--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in {args.config}'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto':
        latest = find_latest_checkpoint(cfg.work_dir) if Path(cfg.work_dir).is_dir() else None
        cfg.resume, cfg.load_from = latest is not None, latest
        if latest is None:
            print(f'--resume: no checkpoint in {cfg.work_dir}, starting from the beginning')
    elif args.resume:
        if not Path(args.resume).exists():
            raise FileNotFoundError(f'--resume: checkpoint {args.resume!r} does not exist')
        cfg.resume, cfg.load_from = True, args.resume
    return cfg


def use_cpu_processes(cfg: Config) -> None:
    """Let several processes train without a GPU, for which MMEngine's launcher would ask."""
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group('gloo')
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    if 'runner_type' not in cfg:
        cfg.setdefault('model_wrapper_cfg', wrapper)
    elif cfg.get('strategy', {}).get('type', 'DDPStrategy') == 'DDPStrategy':
        cfg.strategy = dict(
            dict(type='DDPStrategy', model_wrapper=wrapper), **cfg.get('strategy', {})
        )


def run(cfg: Config) -> Runner | FlexibleRunner:
    """Train as a config says and return the runner.

    Raises:
        ValueError: for a ``strategy`` without the runner that reads it.
    """
    if 'strategy' in cfg and 'runner_type' not in cfg:
        raise ValueError("strategy is read by runner_type='FlexibleRunner': set that as well")
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        use_cpu_processes(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.train()
    return runner


def main(argv: list[str] | None = None) -> Runner | FlexibleRunner:
    """Train and return the runner."""
    return run(prepare_config(parse_args(argv)))


if __name__ == '__main__':
    main()
