"""Time a training step of SimIPU, and how much of it the matching of keypoints takes.

One batch of the config's training data, read once: forward, backward and the optimisers' steps. The
first step is not counted. The matching runs beside the image encoder; it is also timed alone, and
its share of a step is an upper bound of what it costs.

    python tools/analysis_tools/benchmark_simipu_step.py \
        configs/simipu/simipu_r50-pointnet2msg-improved_8xb4-100e_kitti.py \
        --cfg-options train_dataloader.dataset.data_root=data/kitti
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from mmengine.config import DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from mm3dpretrain.models.pretrainers.simipu import undo_transform
from mm3dpretrain.ops import match_points
from mm3dpretrain.registry import MODELS
from mm3dpretrain.utils import prepare_runtime


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of a SimIPU with the intra term')
    parser.add_argument('--steps', type=int, default=5, help='timed steps (default: 5)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args(argv)
    if args.steps < 1:
        parser.error('--steps must be at least 1')
    return args


def timed(run, steps: int, device: torch.device) -> list[float]:
    """Seconds of each of ``steps`` calls after a first one."""
    seconds = []
    for _ in range(steps + 1):
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        run()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main(argv: list[str] | None = None) -> int:
    """Print the median times, the share and, on a GPU, the peak of the memory."""
    args = parse_args(argv)
    device = torch.device(args.device)
    try:
        cfg = prepare_runtime(args.config, args.cfg_options)
        if cfg.model.type != 'SimIPU' or not cfg.model.get('loss_weights', {}).get('intra', 1):
            raise ValueError(f'{args.config}: not a SimIPU with the intra term')
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
        batch = next(iter(loader))
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.to(device).train()
    optimizers = build_optim_wrapper(model, cfg.optim_wrapper)
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    steps = timed(lambda: model.train_step(batch, optimizers), args.steps, device)

    inputs = model.data_preprocessor(batch, True)['inputs']
    with torch.no_grad():
        xyz, _ = model._encode_points(inputs['points'])
        moved, _ = model._encode_points(inputs['points_aug'])
        restored = undo_transform(moved, inputs['transform'])
    alone = timed(
        lambda: match_points(xyz, restored, model.matcher, model.max_match_dist),
        args.steps,
        device,
    )
    step, match = statistics.median(steps), statistics.median(alone)
    print(
        f'{len(xyz)} frames of {xyz.shape[1]} keypoints, matcher {model.matcher}, {device}: '
        f'step {1e3 * step:.1f} ms, matching alone {1e3 * match:.1f} ms ({match / step:.1%})'
    )
    if device.type == 'cuda':
        print(f'peak memory {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB')
    return 0


if __name__ == '__main__':
    sys.exit(main())
