"""Info files of mmdet3d from KITTI folders, on real frames."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mm3dpretrain.datasets import kitti_infos
from mm3dpretrain.datasets.io import SampleError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kitti(data_root, tmp_path):
    source = data_root / 'kitti_mini'
    if not source.is_dir():
        pytest.skip(f'no KITTI frames at {source}')
    folder = tmp_path / 'kitti'
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    return folder


def frames(folder, split):
    with open(folder / f'kitti_infos_{split}.pkl', 'rb') as file:
        return pickle.load(file)['data_list']


def test_every_list_becomes_a_file(kitti):
    counts = kitti_infos.write_kitti_infos(kitti)
    assert counts == dict(train=9, val=3, trainval=12)
    assert len(frames(kitti, 'train')) == 9


def test_boxes_hold_points_and_lie_where_the_label_says(kitti):
    """Three independent sources agree: the scan, the 3D label and the 2D label."""
    kitti_infos.write_kitti_infos(kitti, ('trainval',))
    overlaps, counts = [], []
    for frame in frames(kitti, 'trainval'):
        camera = frame['images']['CAM2']
        for instance in frame['instances']:
            known = instance['bbox_label'] >= 0
            if not known or instance['difficulty'] != 0 or instance['depth'] > 40:
                continue
            counts.append(instance['num_lidar_pts'])
            box = kitti_infos.projected_box(
                instance['bbox_3d'],
                np.array(camera['cam2img']),
                (camera['width'], camera['height']),
            )
            overlaps.append(iou(box, instance['bbox']))
    assert len(overlaps) > 5 and min(overlaps) > 0.7 and np.mean(overlaps) > 0.85
    # one labelled car of frame 002155 was not hit by the scanner
    assert sorted(counts)[1] > 20


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(area) - common)


def test_points_in_box_against_mmdet3d(kitti):
    """Same geometry as mmdet3d's camera boxes."""
    structures = pytest.importorskip('mmdet3d.structures')
    import torch

    generator = np.random.default_rng(0)
    label = dict(
        dimensions=np.array([3.9, 1.5, 1.6]), location=np.array([2.0, 1.7, 12.0]), rotation_y=0.7
    )
    points = label['location'] + generator.uniform(-3, 3, (4000, 3))
    inside = kitti_infos.points_in_box(points, label)
    box = structures.CameraInstance3DBoxes(torch.tensor([[2.0, 1.7, 12.0, 3.9, 1.5, 1.6, 0.7]]))
    corners = np.sort(box.corners[0].numpy(), axis=0)
    ours = np.sort(kitti_infos.box_corners([2.0, 1.7, 12.0, 3.9, 1.5, 1.6, 0.7]), axis=0)
    np.testing.assert_allclose(corners, ours, atol=1e-5)
    # the box is convex: a point is inside iff the hull of the corners does not grow
    from scipy.spatial import Delaunay

    hull = Delaunay(kitti_infos.box_corners([2.0, 1.7, 12.0, 3.9, 1.5, 1.6, 0.7]))
    np.testing.assert_array_equal(inside, hull.find_simplex(points) >= 0)
    assert 50 < inside.sum() < 2000


def test_mmdet3d_reads_them(kitti):
    """In the LiDAR frame, boxes that are near hold points of the scan."""
    pytest.importorskip('mmdet3d')
    from mmdet3d.datasets import KittiDataset
    from mmengine.registry import init_default_scope

    kitti_infos.write_kitti_infos(kitti)
    try:
        init_default_scope('mmdet3d')
        dataset = KittiDataset(
            data_root=str(kitti),
            ann_file='kitti_infos_train.pkl',
            data_prefix=dict(pts='training/velodyne_reduced', img='training/image_2'),
            metainfo=dict(classes=['Pedestrian', 'Cyclist', 'Car']),
            pipeline=[
                dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4),
                dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
                dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
            ],
        )
    finally:
        init_default_scope('mm3dpretrain')
    assert len(dataset) > 0
    for index in range(len(dataset)):
        sample = dataset[index]
        boxes = sample['data_samples'].gt_instances_3d.bboxes_3d
        points = sample['inputs']['points']
        near = boxes.tensor[:, :2].norm(dim=1) < 25
        owner = boxes.points_in_boxes_part(points[:, :3])
        for number in np.flatnonzero(near):
            assert (owner == int(number)).sum() > 3, (index, number)


def test_difficulty_follows_the_devkit():
    def level(height, occluded, truncated):
        box = np.array([0, 0, 10, height])
        return kitti_infos.difficulty(dict(bbox=box, occluded=occluded, truncated=truncated))

    assert level(41, 0, 0.15) == 0
    assert level(40, 0, 0.0) == 1  # more than 40 pixels, not 40
    assert level(41, 1, 0.0) == 1 and level(41, 0, 0.2) == 1
    assert level(26, 2, 0.5) == 2
    assert level(25, 0, 0.0) == -1 and level(100, 3, 0.0) == -1 and level(100, 0, 0.6) == -1


def test_projected_box_is_clipped():
    cam2img = np.eye(4)
    cam2img[0, 0] = cam2img[1, 1] = 100.0
    cam2img[0, 2] = cam2img[1, 2] = 50.0
    box = [0.0, 1.0, 10.0, 2.0, 2.0, 2.0, 0.0]  # centre on the axis, nearest face at z = 9
    half = 100 / 9
    expected = [50 - half, 50 - half, 50 + half, 50 + half]
    np.testing.assert_allclose(
        kitti_infos.projected_box(box, cam2img, (100, 100)), expected, rtol=1e-5
    )
    cut = kitti_infos.projected_box(box, cam2img, (50, 100))
    np.testing.assert_allclose(cut, [50 - half, 50 - half, 50, 50 + half], rtol=1e-4)
    box[0] = 100.0
    assert kitti_infos.projected_box(box, cam2img, (100, 100)) is None
    box[:3] = [0.0, 1.0, -10.0]
    assert kitti_infos.projected_box(box, cam2img, (100, 100)) is None


@pytest.mark.parametrize(
    'name, content, message',
    [
        ('velodyne_reduced/000003.bin', b'\0' * 30, '30 bytes are no whole number of points'),
        ('label_2/000003.txt', b'Car 0 0 nonsense', 'line 1 is no KITTI label'),
        ('calib/000003.txt', b'P0: 1 2 3', "'P0' is no matrix"),
        ('calib/000003.txt', b'', 'lacks'),
        ('image_2/000003.png', b'not a picture', 'cannot read the picture'),
        ('label_2/000003.txt', None, 'cannot read the file'),
    ],
)
def test_broken_files_are_named(kitti, name, content, message):
    path = kitti / 'training' / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SampleError, match=f'{path.name}.*{message}'):
        kitti_infos.write_kitti_infos(kitti, ('train',))
    assert not (kitti / 'kitti_infos_train.pkl').exists()


def test_command(kitti, tmp_path):
    script = ROOT / 'tools/dataset_converters/create_kitti_infos.py'

    def run(*args):
        return subprocess.run(
            [sys.executable, str(script), *map(str, args)], capture_output=True, text=True
        )

    done = run(kitti, '--splits', 'val')
    assert done.returncode == 0 and 'kitti_infos_val.pkl: 3 frames' in done.stdout, done.stderr
    done = run(tmp_path / 'nowhere')
    assert done.returncode == 1 and done.stderr.startswith('error: no frame list')
