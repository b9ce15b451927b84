"""What depth estimation reaches without looking at the picture: the rows that a model must beat.

Two guesses, both from the training targets of a config: one depth for everything (their median),
and one for every row of pixels (a flat road explains much of a street). They are evaluated as the
config evaluates its model.

    python tools/analysis_tools/depth_baseline.py \\
        configs/downstream/depth/densedepth_resnet18-tiny_1xb4-100e_synthetic-streets_ft.py
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmengine.config import DictAction


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config of a depth estimator')
    parser.add_argument('--frames', type=int, default=200, help='of the training, at most')
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE'
    )
    args = parser.parse_args(argv)
    if args.frames < 1:
        parser.error(f'--frames must be positive, got {args.frames}')
    return args


def baselines(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Scores of the two guesses by name."""
    import numpy as np

    from mm3dpretrain.datasets.depth import median_depth
    from mm3dpretrain.evaluation.depth_metric import constant_sample
    from mm3dpretrain.registry import DATASETS, METRICS
    from mm3dpretrain.utils import prepare_runtime

    cfg = prepare_runtime(args.config, args.cfg_options)
    evaluator = cfg.get('test_evaluator') or {}
    if evaluator.get('type') != 'DepthMetric':
        raise ValueError(f'{args.config} evaluates no depth: its test_evaluator is {evaluator}')
    test = DATASETS.build(cfg.test_dataloader.dataset)
    # at the resolution and in the crop of the test, without augmentation
    train_cfg = cfg.train_dataloader.dataset
    train_cfg.update(pipeline=cfg.test_dataloader.dataset.pipeline, cached_steps=0)
    train = DATASETS.build(train_cfg)
    count = min(len(train), args.frames)
    targets = [train[i]['data_samples'].gt_depth.numpy() for i in range(count)]
    shape = targets[0].shape
    # frames of KITTI differ by a few pixels: the bottom stays where it is
    targets = [_fit(target, shape) for target in targets]
    overall, rows = median_depth(targets)
    guesses = {f'median, {overall:.1f} m': overall, 'median of the row of pixels': rows}
    metrics = {name: METRICS.build(dict(evaluator)) for name in guesses}
    for index in range(len(test)):
        truth = test[index]['data_samples'].gt_depth
        for name, guess in guesses.items():
            if np.ndim(guess):
                guess = _fit(guess, (truth.shape[0], 1))
            metrics[name].process({}, [constant_sample(guess, truth)])
    return {name: metric.compute_metrics(metric.results) for name, metric in metrics.items()}


def _fit(values, shape: tuple[int, int]):
    """An array (h, w) cut or padded with its edge at the top and on the right."""
    import numpy as np

    height, width = shape
    values = values[-height:, :width]
    pad = ((height - values.shape[0], 0), (0, width - values.shape[1]))
    return np.pad(values, pad, 'edge')


def main(argv: list[str] | None = None) -> int:
    """Print the rows; 0, or 1 and one line that says what is missing."""
    args = parse_args(argv)
    try:
        found = baselines(args)
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(found, indent=2) + '\n')
    except (OSError, ValueError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    for name, scores in found.items():
        line = '  '.join(f'{key} {value:.3f}' for key, value in scores.items())
        print(f'{name}: {line}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
