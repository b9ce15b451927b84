"""Draw two views of a scene: what the 3D features are there, what the teacher finds, what matches.

From top to bottom: the pictures; the 3D features projected into them and brought to the teacher's
space; the teacher's own features, one colour for one feature; and lines from pixels of the first
view to where the model finds them in the second one. Lines are blue where the answer is right and
red from 20 pixels of error on; circles mark the truth.

    python tools/visualization/visualize_correspondences.py CHECKPOINT
    python tools/visualization/visualize_correspondences.py CHECKPOINT --level 2 --index 0 40 80
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import torch
from mmengine.config import DictAction

from mm3dpretrain.apis import load_pretrained
from mm3dpretrain.apis.features import evaluating, isolated_rng
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.registry import DATASETS
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization.correspondences import (
    correspondence_sheet,
    draw_matches,
    feature_pictures,
)
from tools.visualization import _common as common


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='of MVNet')
    parser.add_argument('--config', help='default: the config stored in the checkpoint')
    parser.add_argument(
        '--loader', default='test_dataloader', help='which data loader (default: %(default)s)'
    )
    parser.add_argument(
        '--out', default='work_dirs/correspondences', help='folder (default: %(default)s)'
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        '--num', type=int, default=4, help='how many, evenly (default: %(default)s)'
    )
    chosen.add_argument('--index', type=int, nargs='+', help='or numbers of the tuples, from 0')
    parser.add_argument(
        '--level', type=int, default=0, help='level of the teacher, 0 the finest one'
    )
    parser.add_argument('--lines', type=int, default=24, help='matches (default: %(default)s)')
    parser.add_argument('--factor', type=int, default=2, help='enlarge pictures (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the drawn points')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='as in train.py'
    )
    args = parser.parse_args(argv)
    if args.num < 1 or args.lines < 1 or args.factor < 1 or args.level < 0:
        parser.error('need --num, --lines and --factor of at least 1, and --level >= 0')
    return args


@torch.no_grad()
def draw_sample(model, item: dict, level: int, lines: int, factor: int) -> np.ndarray:
    """The sheet of views 0 and 1 of one sample.

    Args:
        model: an ``MVNet`` in eval mode.
        item: what a pipeline that ends in ``PackFrames`` gives.
        level: of the teacher.
        lines: matches to draw.
        factor: pictures are enlarged by it.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: for a level that the teacher lacks, or a model without one of both terms.
    """
    batch = dict(inputs={key: [v] for key, v in item['inputs'].items()})
    batch['data_samples'] = [item['data_samples']]
    data = model.data_preprocessor(batch)
    levels = model.teacher_views(data['inputs'], data['data_samples'])
    if level >= len(levels):
        raise ValueError(f'the teacher has {len(levels)} levels, there is no level {level}')
    if 'consistency' not in model.weights:
        raise ValueError("without the 'consistency' term there are no matches to draw")
    sample = model.predict(data['inputs'], data['data_samples'])[0]
    images = [
        np.ascontiguousarray(i.permute(1, 2, 0).byte().numpy()) for i in item['inputs']['img']
    ]
    size = images[0].shape[:2]
    arrays = [part[0, :2].float().cpu().numpy() for part in levels[level]]
    rows = feature_pictures(
        arrays[0], arrays[1], arrays[2] > 0.5, size, model.teacher.padded_size(*size)
    )

    def enlarge(picture: np.ndarray) -> np.ndarray:
        return cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)

    images, *rows = [[enlarge(picture) for picture in line] for line in (images[:2], *rows)]
    valid = sample.query_valid[0].cpu().numpy()
    queries, predicted, targets = (
        factor * sample.get(name)[0].cpu().numpy()[valid]
        for name in ('queries', 'pred_targets', 'targets')
    )
    matches = draw_matches(*images, queries, predicted, targets, lines, 20.0 * factor)
    return correspondence_sheet(images, rows, matches)


def draw(args: argparse.Namespace) -> None:
    """Write one picture for each sample."""
    config = prepare_runtime(args.config, args.cfg_options) if args.config else None
    model = load_pretrained(args.checkpoint, config)
    if not hasattr(model, 'teacher_views'):
        raise ValueError(f'{args.checkpoint} holds a {type(model).__name__}, not an MVNet')
    cfg = model.cfg
    if args.cfg_options and not args.config:
        cfg = prepare_runtime(cfg, args.cfg_options)
    if args.loader not in cfg:
        loaders = [key for key in cfg if key.endswith('_dataloader')]
        raise ValueError(f'{args.checkpoint} has no {args.loader}; it has {loaders}')
    dataset = DATASETS.build(cfg[args.loader].dataset)
    out = Path(args.out)
    chosen = common.choose(len(dataset), args)
    for number, index in enumerate(chosen):
        with isolated_rng(args.seed), evaluating(model):
            sheet = draw_sample(model, dataset[index], args.level, args.lines, args.factor)
        path = out / f'{number:03d}_{index}.png'
        with atomic_path(path) as temporary:
            cv2.imwrite(str(temporary), sheet[..., ::-1])
        print(f'[{number + 1}/{len(chosen)}] {path}')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: draw(args))


if __name__ == '__main__':
    sys.exit(main())
