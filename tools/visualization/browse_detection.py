"""Write pictures of the 3D boxes of an mmdet3d config: ground truth, and what a detector finds.

    python tools/visualization/browse_detection.py \\
        configs/downstream/mmdet3d/votenet_pointtransformer-tiny_1xb4-8e_synthetic-rooms_scratch.py
    python tools/visualization/browse_detection.py CONFIG --checkpoint epoch_8.pth --score 0.5

One PNG for each sample: points and boxes from above, and where the data have cameras, the boxes in
their pictures. Ground truth is green, predictions are red; a stroke leads from the middle of a box
to its front. With --loader train_dataloader the view from above shows what the augmentation made of
the sample, and the pictures show the boxes as they were before it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict, DictAction
from mmengine.dataset import pseudo_collate

from mm3dpretrain.compat import require
from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.utils import prepare_runtime
from mm3dpretrain.visualization.boxes import boxes_in_picture, projection_matrix, view_from_above
from tools.visualization import _common as common

TRUTH, PREDICTED = (0, 150, 0), (220, 30, 30)
# where the info files of mmdet3d mean their pictures to be, if the data set does not load them
FOLDERS = ('', 'training/image_2', 'samples/{camera}', 'sunrgbd_trainval/image')
GAP = 4


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a detection config on mmdet3d')
    parser.add_argument('--checkpoint', help='of the detector: draw its predictions too')
    parser.add_argument(
        '--loader', default='test_dataloader', help='which data loader (default: %(default)s)'
    )
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/browse_detection'), help='folder (%(default)s)'
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--index', type=int, nargs='+', help='numbers of the samples, from 0')
    chosen.add_argument(
        '--num', type=int, default=8, help='or so many, spread evenly (default: %(default)s)'
    )
    parser.add_argument('--size', type=int, default=640, help='side of the view from above, pixels')
    parser.add_argument(
        '--score',
        type=float,
        default=0.3,
        help='least score of a prediction (default: %(default)s)',
    )
    parser.add_argument('--device', default='cpu', help='where to compute (default: %(default)s)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE'
    )
    args = parser.parse_args(argv)
    if args.num < 1 or args.size < 64:
        parser.error(f'need --num >= 1 and --size >= 64, got {args.num} and {args.size}')
    if args.checkpoint and args.loader == 'train_dataloader':
        parser.error('predictions are drawn on unchanged samples: take --loader test_dataloader')
    return args


def browse(args: argparse.Namespace) -> None:
    """Write the pictures."""
    registry = require('mmdet3d.registry', 'det3d', 'this tool')
    config = prepare_runtime(args.config, args.cfg_options)
    if config.get('default_scope') != 'mmdet3d':
        raise ValueError(
            f'{args.config} has default_scope={config.get("default_scope")!r}, not mmdet3d: '
            'browse_dataset.py draws the data of this package'
        )
    if args.loader not in config:
        loaders = [key for key in config if key.endswith('_dataloader')]
        raise ValueError(f'{args.config} has no {args.loader}; it has {loaders}')
    # missing data shall not be found after a model was built
    dataset = registry.DATASETS.build(config[args.loader].dataset)
    chosen = common.choose(len(dataset), args)
    model = load_detector(config, args) if args.checkpoint else None
    for index in chosen:
        item = dataset[index]
        found = predict(model, item, args.score) if model else None
        picture = draw_sample(item, record_of(dataset, index), found, args.size)
        path = args.out / f'{index:06d}.png'
        with atomic_path(path) as temporary:
            cv2.imwrite(str(temporary), picture[..., ::-1])
    print(f'{len(chosen)} of {len(dataset)} samples drawn in {args.out}')


def load_detector(config, args: argparse.Namespace):
    """The detector with the weights of a checkpoint, all of them."""
    from mmdet3d.registry import MODELS

    from mm3dpretrain.apis.checkpoint import load_weights, weights_of, without_checkpoints

    # the weights of the pre-training would be overwritten, and need not be there any more
    model = MODELS.build(ConfigDict(without_checkpoints(config.model)))
    load_weights(model, weights_of(args.checkpoint), args.checkpoint)
    return model.to(args.device).eval()


@torch.no_grad()
def predict(model, item: Mapping, score: float):
    """Boxes that a detector finds in a sample, with at least the score, on the CPU."""
    (result,) = model.test_step(pseudo_collate([item]))
    found = result.pred_instances_3d
    return found.bboxes_3d[(found.scores_3d >= score).cpu()].to('cpu')


def record_of(dataset, index: int) -> dict:
    """What the info file says of a sample, through the wrappers that repeat and balance."""
    while not hasattr(dataset, 'data_prefix') and hasattr(dataset, 'dataset'):
        if hasattr(dataset, '_get_ori_dataset_idx'):
            index = dataset._get_ori_dataset_idx(index)
        elif hasattr(dataset, 'sample_indices'):
            index = int(dataset.sample_indices[index])
        dataset = dataset.dataset
    record = dict(dataset.get_data_info(index))
    record['data_root'] = dataset.data_root
    return record


def draw_sample(item: Mapping, record: Mapping, found, size: int) -> np.ndarray:
    """The sheet of one sample.

    Args:
        item: what the data set gives: ``inputs`` and ``data_samples``.
        record: what the info file says, see :func:`record_of`.
        found: predicted boxes, or None.
        size: side of the view from above in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    sample, annotation = item['data_samples'], record.get('ann_info', record.get('eval_ann_info'))
    truth = annotation['gt_bboxes_3d'] if annotation else None
    seen = truth
    if 'gt_instances_3d' in sample and 'bboxes_3d' in sample.gt_instances_3d:
        seen = sample.gt_instances_3d.bboxes_3d  # turned and flipped by the augmentation
    points = item['inputs'].get('points')
    points = np.zeros((0, 3)) if points is None else points[:, :3].numpy()
    kind = type(seen if seen is not None else found).__name__
    panel = view_from_above(points, groups(seen, found), size, up_of(kind))
    pictures = [
        boxes_in_picture(picture, groups(truth, found), projection)
        for picture, projection in cameras_of(record, kind)
    ]
    if not pictures:
        return panel
    # two columns of pictures beside the view from above
    rows = [pictures[i : i + 2] for i in range(0, len(pictures), 2)]
    width = max(panel.shape[1], 2 * panel.shape[1] // len(rows[0]))
    cells = [[fit_width(picture, width) for picture in row] for row in rows]
    height = sum(max(c.shape[0] for c in row) for row in cells) + GAP * (len(cells) - 1)
    sheet = np.full((max(height, size), size + len(rows[0]) * (width + GAP), 3), 255, np.uint8)
    sheet[:size, :size] = panel
    top = 0
    for row in cells:
        for column, cell in enumerate(row):
            left = size + GAP + column * (width + GAP)
            sheet[top : top + cell.shape[0], left : left + width] = cell
        top += max(cell.shape[0] for cell in row) + GAP
    return sheet


def groups(truth, found) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    """Corners and colours of the boxes that there are."""
    return [
        (boxes.corners.cpu().numpy() if len(boxes) else np.zeros((0, 8, 3)), color)
        for boxes, color in ((truth, TRUTH), (found, PREDICTED))
        if boxes is not None and hasattr(boxes, 'corners')
    ]


def up_of(kind: str) -> str:
    """The axis that points upwards in the view from above."""
    return {'LiDARInstance3DBoxes': 'x', 'CameraInstance3DBoxes': 'z'}.get(kind, 'y')


def cameras_of(record: Mapping, kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures (H, W, 3) of a record, with the projections (3, 4) of its boxes' frame."""
    out = []
    for name, camera in (record.get('images') or {}).items():
        # KITTI's info files keep a calibration beside the cameras, and cameras without pictures
        path = camera.get('img_path') if isinstance(camera, Mapping) else None
        if not path:
            continue
        places = [Path(path)]
        places += [Path(record['data_root']) / f.format(camera=name) / path for f in FOLDERS]
        place = next((place for place in places if place.is_file()), None)
        projection = projection_of(camera, kind)
        if place is None or projection is None:
            continue
        picture = cv2.imread(str(place))
        if picture is None:
            raise ValueError(f'{place} is no picture that can be read')
        out.append((np.ascontiguousarray(picture[..., ::-1]), projection_matrix(projection)))
    return out


def projection_of(camera: Mapping, kind: str) -> np.ndarray | None:
    """From the frame of the boxes to pixels, as far as the info file knows it."""
    if kind == 'CameraInstance3DBoxes':
        return camera.get('cam2img')
    for key in ('lidar2img', 'depth2img'):
        if key in camera:
            return camera[key]
    if 'cam2img' in camera and 'lidar2cam' in camera:
        lens = np.vstack([projection_matrix(camera['cam2img']), [0, 0, 0, 1]])
        return lens @ np.asarray(camera['lidar2cam'])
    return None


def fit_width(picture: np.ndarray, width: int) -> np.ndarray:
    """The picture with another width and the same proportions."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    way = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=way)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = parse_args(argv)
    return common.run(lambda: browse(args))


if __name__ == '__main__':
    sys.exit(main())
