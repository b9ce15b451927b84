"""Write pictures of what a set of LiDAR and camera pairs gives to the model, after the pipeline.

    python tools/visualization/browse_pairs.py configs/_base_/datasets/kitti_raw_seq_pairs_tiny.py

Each frame shows the picture of every camera with the points of the un-augmented view over it, in
colours of their depth; the depth picture that tells what is hidden, where there is one; and the two
views of the scan from above, a point in the colour of its distance in the un-augmented frame. If
points do not lie on the things that they were measured on, the calibration or a transform is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
from mmengine.config import DictAction

from mm3dpretrain.datasets import ConcatDataset, SampleError
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.registry import DATASETS
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import color_depth
from mm3dpretrain.visualization.lidar_overlay import (
    draw_birds_eye,
    draw_lidar_overlay,
    square_extent,
)
from tools.visualization import _common as common

TITLE_HEIGHT = 18
PER_LINE = 3  # pictures beside each other


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='any config whose pipeline ends in PackPairs')
    parser.add_argument(
        '--loader', default='train_dataloader', help='which data loader (default: %(default)s)'
    )
    parser.add_argument(
        '--out', default='work_dirs/browse_pairs', help='folder (default: %(default)s)'
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--num', type=int, default=4, help='how many (default: %(default)s)')
    chosen.add_argument('--index', type=int, nargs='+', help='or numbers of the frames, from 0')
    parser.add_argument(
        '--width', type=int, default=640, help='of a picture in pixels (default: %(default)s)'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the choice and the augmentation')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE', help='as in train.py'
    )
    args = parser.parse_args(argv)
    if args.num < 1 or args.width < 64:
        parser.error(f'need --num >= 1 and --width >= 64, got {args.num} and {args.width}')
    return args


def read_frame(dataset, index: int) -> dict:
    """Frame ``index`` of a set or of several at once; no other one stands in for a broken one."""
    while isinstance(dataset, ConcatDataset):
        part, index = dataset._get_ori_dataset_idx(index)
        dataset = dataset.datasets[part]
    return dataset.prepare_data(index)


def draw_frame(item: dict, width: int) -> np.ndarray:
    """The sheet of one frame.

    Args:
        item: what a pipeline that ends in ``PackPairs`` gives.
        width: of a camera's picture in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    inputs = {key: value.numpy() for key, value in item['inputs'].items()}
    sample, points = item['data_samples'], inputs['points']
    overlays, depths = [], []
    for view, (height, breadth) in enumerate(inputs['img_shape'].tolist()):
        picture = inputs['img'][view].transpose(1, 2, 0)[:height, :breadth]
        factor = width / breadth
        size = (width, max(1, round(height * factor)))
        matrix = np.diag([factor, size[1] / height, 1, 1]) @ inputs['lidar2img'][view]
        overlays.append(
            draw_lidar_overlay(cv2.resize(picture, size), points, matrix, legend='m depth')
        )
        if 'depth' in inputs:
            stride = sample.depth_stride
            depth = inputs['depth'][view][: -(-height // stride), : -(-breadth // stride)]
            depth = color_depth(depth, depth > 0)
            depths.append(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST))
    lines = [
        pictures[i : i + PER_LINE]
        for pictures in (overlays, depths)
        for i in range(0, len(pictures), PER_LINE)
    ]
    lines.append(_from_above(inputs, width))
    title = f'{sample.sample_id}   {", ".join(sample.camera_names)}   {len(points)} points'
    if sample.get('img_flipped'):
        title += '   pictures mirrored'
    return _stack(lines, title)


def _from_above(inputs: dict, side: int) -> list[np.ndarray]:
    """The views of the scan, the same point in the same colour."""
    points, moved = inputs['points'], inputs.get('points_aug')
    if moved is None:
        return [draw_birds_eye(points, side, points[:, 0])]
    back = np.linalg.inv(inputs['transform'].astype(np.float64))
    first = moved[:, :3] @ back[0, :3] + back[0, 3]
    extent = square_extent(points, moved)
    low, high = np.quantile(points[:, 0], [0.02, 0.98])
    return [
        draw_birds_eye(cloud, side, values, extent, low, high)
        for cloud, values in ((points, points[:, 0]), (moved, first))
    ]


def _stack(lines: list[list[np.ndarray]], title: str) -> np.ndarray:
    """Lines of pictures below a title; what is missing is white."""
    rows = []
    for line in filter(None, lines):
        height = max(picture.shape[0] for picture in line)
        grown = [
            np.pad(p, ((0, height - p.shape[0]), (0, 4), (0, 0)), constant_values=255) for p in line
        ]
        rows.append(np.concatenate(grown, 1))
    width = max(row.shape[1] for row in rows)
    head = np.full((TITLE_HEIGHT, width, 3), 255, np.uint8)
    title = title.encode('ascii', 'replace').decode()
    cv2.putText(head, title, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    wide = [
        np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    return np.concatenate([head, *wide])


def browse(args: argparse.Namespace) -> None:
    """Write the pictures; frames that cannot be read fail the run after the others are drawn."""
    config = prepare_runtime(args.config, args.cfg_options)
    if args.loader not in config:
        loaders = [key for key in config if key.endswith('_dataloader')]
        raise ValueError(f'{args.config} has no {args.loader}; it has {loaders}')
    dataset = DATASETS.build(config[args.loader].dataset)
    if args.index is None:
        chosen = np.random.default_rng(args.seed).permutation(len(dataset))[: args.num].tolist()
    else:
        chosen = common.choose(len(dataset), args)
    np.random.seed(args.seed)
    out, written = Path(args.out), 0
    for number, index in enumerate(chosen):
        try:
            item = read_frame(dataset, index)
        except SampleError as error:
            print(f'frame {index} is left out: {error}', file=sys.stderr)
            continue
        if 'lidar2img' not in item.get('inputs', {}):
            raise ValueError(f'the pipeline of {args.config} does not end in PackPairs')
        path = out / f'{number:03d}_{index}.png'
        with atomic_path(path) as temporary:
            cv2.imwrite(str(temporary), draw_frame(item, args.width)[..., ::-1])
        written += 1
        print(f'[{number + 1}/{len(chosen)}] {path}')
    print(f'{written} of {len(dataset)} frames drawn in {out}')
    if written < len(chosen):
        raise SampleError(f'{len(chosen) - written} of {len(chosen)} frames were left out')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: browse(args))


if __name__ == '__main__':
    sys.exit(main())
