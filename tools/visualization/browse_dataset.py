"""Write pictures of what a data set gives to the model: view and points after the pipeline.

    python tools/visualization/browse_dataset.py configs/_base_/datasets/shapes69_cls.py --num 16

Each picture shows the view (where there is one) beside the points from two directions, coloured by
their own colours, by part, or from dark (near) to light (far). Normalised values are shown as they
come out of the pipeline, so wrong augmentation is easy to see.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.registry import DATASETS
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import draw_points
from tools.visualization import _common as common

TITLE_HEIGHT = 18


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='any config with data loaders')
    parser.add_argument(
        '--loader', default='train_dataloader', help='which data loader (default: %(default)s)'
    )
    parser.add_argument('--out', default='work_dirs/browse', help='folder (default: %(default)s)')
    parser.add_argument('--num', type=int, default=16, help='how many (default: %(default)s)')
    parser.add_argument('--size', type=int, default=192, help='side of a panel in pixels')
    parser.add_argument('--seed', type=int, default=0, help='of the choice and the augmentation')
    args = parser.parse_args(argv)
    if args.num < 1 or args.size < 16:
        parser.error(f'need --num >= 1 and --size >= 16, got {args.num} and {args.size}')
    return args


def point_colors(points: np.ndarray, channels: tuple[str, ...], part: np.ndarray | None):
    """(N, 3) uint8 colours of the points, or None where they have none of their own."""
    if part is not None:
        # the golden ratio spreads hues of neighbouring part numbers far apart
        hue = np.uint8((part * 0.618034 % 1) * 179)
        hsv = np.stack([hue, np.full_like(hue, 200), np.full_like(hue, 220)], -1)[None]
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    if 'r' in channels:
        start = channels.index('r')
        return np.uint8(np.clip(points[:, start : start + 3], 0, 1) * 255)
    return None


def draw_item(item: dict, size: int) -> np.ndarray:
    """Contact sheet of one item of a pipeline that ends in ``PackTriplets``, RGB."""
    inputs, sample = item['inputs'], item['data_samples']
    panels = []
    if 'img' in inputs:
        images = inputs['img'].permute(*range(inputs['img'].dim() - 3), -2, -1, -3).numpy()
        images = images[None] if images.ndim == 3 else images
        panels += [cv2.resize(im, (size, size), interpolation=cv2.INTER_NEAREST) for im in images]
    if 'points' in inputs:
        points = inputs['points'].numpy()
        part = sample.gt_part.numpy() if 'gt_part' in sample else None
        colors = point_colors(points, tuple(sample.get('point_channels', ())), part)
        up = sample.get('gravity_axis', 'y')
        up = up if up in ('x', 'y', 'z') else 'y'
        panels += [draw_points(points, size, colors, azimuth, up) for azimuth in (30.0, 120.0)]
    sheet = np.concatenate(panels, 1)
    text = sample.get('sample_id', '')
    if 'gt_label' in sample:
        text += f'  [{int(sample.gt_label)}]'
    if sample.get('caption'):
        text += f'  {sample.caption[0]}'
    title = np.full((TITLE_HEIGHT, sheet.shape[1], 3), 255, np.uint8)
    text = text.encode('ascii', 'replace').decode()
    cv2.putText(title, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([title, sheet])


def browse(args: argparse.Namespace) -> None:
    """Write the pictures; samples that cannot be read fail the run after the others are drawn."""
    config = prepare_runtime(args.config)
    if args.loader not in config:
        loaders = [key for key in config if key.endswith('_dataloader')]
        raise ValueError(f'{args.config} has no {args.loader}; it has {loaders}')
    dataset = DATASETS.build(config[args.loader].dataset)
    out = Path(args.out)
    chosen = np.random.default_rng(args.seed).permutation(len(dataset))[: args.num]
    np.random.seed(args.seed)
    written = 0
    for number, index in enumerate(chosen.tolist()):
        try:
            item = dataset[index]
        except SampleError as error:
            print(f'sample {index} is left out: {error}', file=sys.stderr)
            continue
        path = out / f'{number:03d}_{index}.png'
        with atomic_path(path) as temporary:
            cv2.imwrite(str(temporary), draw_item(item, args.size)[..., ::-1])
        written += 1
    print(f'{written} of {len(dataset)} samples drawn in {out}')
    if written < len(chosen):
        raise SampleError(f'{len(chosen) - written} of {len(chosen)} samples were left out')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: browse(args))


if __name__ == '__main__':
    sys.exit(main())
