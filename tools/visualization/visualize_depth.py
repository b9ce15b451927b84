"""Draw what a depth estimator sees: picture, predicted depth, measured depth, error.

Near is yellow, far is dark blue, and white is where nothing was measured; prediction and truth of a
row share their colours. The error is |prediction - truth| / truth, white for none, red from
``--max-error`` on.

Examples::

    python tools/visualization/visualize_depth.py \\
        work_dirs/densedepth_resnet18-tiny_1xb4-100e_synthetic-streets_ft/epoch_100.pth
    python tools/visualization/visualize_depth.py epoch_24.pth --config other.py --index 0 7 \\
        --cfg-options test_dataloader.dataset.data_root=data/kitti_mini
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
from torch.nn import functional as F

from mm3dpretrain.apis import load_pretrained
from mm3dpretrain.apis.checkpoint import config_of, read_checkpoint
from mm3dpretrain.datasets.io import SampleError, atomic_path
from mm3dpretrain.evaluation import depth_scores
from mm3dpretrain.registry import DATASETS
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization import color_depth, contact_sheet, over_white
from tools.visualization import _common as common

COLUMNS = ('picture', 'predicted depth', 'measured depth', 'relative error')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='of a DepthEstimator')
    parser.add_argument('--config', help='default: the one stored in the checkpoint')
    parser.add_argument(
        '--dataset', default='test_dataloader.dataset', metavar='KEY', help='default: %(default)s'
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--index', type=int, nargs='+', help='numbers of the samples, from 0')
    chosen.add_argument(
        '--num', type=int, default=5, help='or so many, spread evenly (default: %(default)s)'
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/depth.png'))
    parser.add_argument('--width', type=int, default=400, help='of a panel (%(default)s pixels)')
    parser.add_argument('--max-error', type=float, default=0.5, help='relative (%(default)s)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE'
    )
    args = parser.parse_args(argv)
    if args.num < 1 or args.width < 16 or not args.max_error > 0:
        parser.error('need --num >= 1, --width >= 16 and --max-error > 0')
    if not cv2.haveImageWriter(str(args.out)):
        parser.error(f'{args.out}: unknown picture format, take .png or .jpg')
    return args


def panels(
    picture: np.ndarray, predicted: np.ndarray, truth: np.ndarray, width: int, max_error: float
) -> list[np.ndarray]:
    """The pictures of one row.

    Args:
        picture: (h, w, 3) uint8 RGB.
        predicted: (H, W) metres.
        truth: (H, W) metres, 0 where unknown.
        width: of the panels in pixels; they have the aspect of ``truth``.
        max_error: relative error that is drawn red.

    Returns:
        Four (height, width, 3) uint8 RGB, see ``COLUMNS``.
    """
    size = (width, max(1, round(width * truth.shape[0] / truth.shape[1])))
    error = np.where(truth > 0, np.abs(predicted - truth) / np.maximum(truth, 1e-6), 0)
    red = np.clip(error / max_error, 0, 1)[..., None]
    colors = (1 - red) * [255.0, 245.0, 225.0] + red * [200.0, 0.0, 0.0]
    known = truth > 0
    # the scale is logarithmic: most of a street is near
    low, high = np.log(np.percentile(truth[known], [1, 99]))
    drawn = color_depth(np.log(predicted), np.ones(truth.shape), low, high)
    measured = color_depth(np.log(np.maximum(truth, 1e-6)), known.astype(np.float32), low, high)
    return [
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA),
        cv2.resize(drawn, size, interpolation=cv2.INTER_AREA),
        _shrink_sparse(measured, known, size),
        _shrink_sparse(over_white(colors, known.astype(np.float32)), known, size),
    ]


def _shrink_sparse(colors: np.ndarray, known: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a picture of scattered pixels: a panel's pixel is the mean of those in reach."""
    reach = max(3, round(known.shape[1] / size[0]) + 1)
    weight = known.astype(np.float32)
    total = cv2.boxFilter(weight, -1, (reach, reach), normalize=False)
    mean = cv2.boxFilter(colors * weight[..., None], cv2.CV_32F, (reach, reach), normalize=False)
    mean /= np.maximum(total, 1)[..., None]
    return cv2.resize(
        over_white(mean, (total > 0).astype(np.float32)), size, interpolation=cv2.INTER_AREA
    )


def draw(args: argparse.Namespace) -> None:
    """Load, estimate, draw."""
    source = args.config or config_of(read_checkpoint(args.checkpoint)['meta'], args.checkpoint)
    config = prepare_runtime(source, args.cfg_options)
    model = load_pretrained(args.checkpoint, config, args.device)
    if not hasattr(model, 'estimate'):
        raise ValueError(f'{args.checkpoint} holds a {type(model).__name__}, no depth estimator')
    dataset = DATASETS.build(common.dataset_config(config, args.dataset, str(args.checkpoint)))
    rows, labels = [], []
    for index in common.choose(len(dataset), args):
        item = dataset[int(index)]
        picture, sample = item['inputs']['img'], item['data_samples']
        data = model.data_preprocessor(dict(inputs=dict(img=[picture]), data_samples=[sample]))
        with torch.no_grad():
            predicted = model.predict(**data)[0].pred_depth
        truth = sample.gt_depth.cpu()
        predicted = F.interpolate(
            predicted[None, None].cpu(), truth.shape, mode='bilinear', align_corners=False
        )[0, 0].numpy()
        truth = truth.numpy()
        if not (truth > 0).any():
            raise SampleError(
                f'{sample.sample_id} has no depth behind its pipeline: take others with --index'
            )
        image = np.ascontiguousarray(picture.numpy().transpose(1, 2, 0))
        row = panels(image, predicted, truth, args.width, args.max_error)
        # pictures of a set may differ by some pixels
        height = rows[0][0].shape[0] if rows else row[0].shape[0]
        rows.append([cv2.resize(panel, (args.width, height)) for panel in row])
        scores = depth_scores(predicted[truth > 0], truth[truth > 0])
        labels.append(
            f'{sample.sample_id}: AbsRel {scores["abs_rel"]:.3f}, RMSE {scores["rmse"]:.2f} m, '
            f'delta1 {scores["delta1"]:.3f}'
        )
        print(labels[-1])
    sheet = contact_sheet(rows, COLUMNS, labels)
    with atomic_path(args.out) as temporary:
        if not cv2.imwrite(str(temporary), sheet[..., ::-1]):
            raise OSError(f'{args.out}: the picture could not be written')
    print(f'{args.out}: {sheet.shape[1]} x {sheet.shape[0]} pixels')


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: draw(args))


if __name__ == '__main__':
    sys.exit(main())
