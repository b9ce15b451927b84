"""Pair sets without labels: which frames, and what happens to broken ones."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from torch.utils.data import DataLoader

from mm3dpretrain.datasets import (
    ConcatDataset,
    KittiPairs,
    SampleError,
    SeededSampler,
    WaymoPairs,
)
from mm3dpretrain.datasets.samplers import SeededIndex
from tests.pair_sets import SIZE, calibration_text, no_collection, write_kitti, write_waymo  # noqa: F401

PIPELINE = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(20, 60), max_size=(40, 120)),
    dict(type='CropPictures', size=(24, 64)),
    dict(type='JitterPictures'),
    dict(type='FlipPictures'),
    dict(type='LidarDepth', stride=4),
    dict(type='PointsInRange', point_cloud_range=[0, -40, -3, 70.4, 40, 1]),
    dict(type='PointsInPicture', min_points=4),
    dict(type='TwoViewPoints', num_points=64),
    dict(type='PackPairs'),
]
INPUTS = {
    'points', 'points_aug', 'transform', 'img', 'lidar2img', 'img_shape', 'depth',
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    return write_kitti(tmp_path / 'kitti')


@pytest.fixture
def warnings():
    """The messages that are logged as warnings."""
    found = []

    class Collect(logging.Handler):
        def emit(self, record):
            if record.levelno >= logging.WARNING:
                found.append(record.getMessage())

    logger, handler = MMLogger.get_current_instance(), Collect()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def scan(root, i):
    return root / 'training' / 'velodyne' / f'{i:06d}.bin'


# --------------------------------------------------------------------------- plain reading


def test_pipeline_runs_without_any_annotation(root):
    assert not (root / 'training' / 'label_2').exists()
    dataset = KittiPairs(data_root=str(root), pipeline=PIPELINE)
    assert len(dataset) == 6
    item = dataset[2]
    inputs, sample = item['inputs'], item['data_samples']
    assert set(inputs) == INPUTS
    assert inputs['points'].shape == inputs['points_aug'].shape == (64, 4)
    assert inputs['img'].shape[:2] == (1, 3) and inputs['img'].dtype == torch.uint8
    assert tuple(inputs['img'].shape[-2:]) == tuple(inputs['img_shape'][0].tolist())
    assert sample.sample_id == '000002' and sample.camera_names == ['CAM2']


def test_record(root):
    record = KittiPairs(data_root=str(root)).get_data_info(3)
    assert record['sample_id'] == '000003' and record['sweeps'] == []
    assert record['lidar_path'] == str(scan(root, 3)) and record['num_pts_feats'] == 4
    (image,) = record['images']
    assert image['camera'] == 'CAM2' and image['cam2img'].shape == (3, 3)
    assert image['lidar2img'].dtype == np.float64
    point = np.array([10.0, 2.0, -1.0, 1.0])
    u, v, z, one = image['lidar2img'] @ point
    # by hand: right, down and forward of the camera, then the lens
    right, down, forward = -2 + 0.02, 1 - 0.08, 10 - 0.27
    assert one == 1 and z == pytest.approx(forward + 0.003)
    assert u == pytest.approx(60 * right + 60 * forward + 4)
    assert v == pytest.approx(60 * down + 20 * forward + 0.2)


def test_same_seed_same_samples_in_any_number_of_workers(root):
    def epoch(workers, seed):
        dataset = KittiPairs(data_root=str(root), pipeline=PIPELINE)
        sampler = SeededSampler(dataset, seed=seed)
        loader = DataLoader(
            dataset, batch_size=1, sampler=sampler, num_workers=workers, collate_fn=lambda x: x[0]
        )
        return [item['inputs'] for item in loader]

    first, second, other = epoch(0, 7), epoch(2, 7), epoch(0, 8)
    for a, b in zip(first, second):
        assert all(torch.equal(a[key], b[key]) for key in INPUTS)
    assert not all(torch.equal(a['transform'], b['transform']) for a, b in zip(first, other))


def test_serialised_or_not(root):
    a = KittiPairs(data_root=str(root), serialize_data=False)
    b = KittiPairs(data_root=str(root))
    for _ in range(2):  # reading does not change what is kept
        x, y = a.get_data_info(1), b.get_data_info(1)
        assert x.keys() == y.keys() and x['lidar_path'] == y['lidar_path']


def test_iteration_ends(root):
    assert sum(1 for _ in KittiPairs(data_root=str(root))) == 6
    with pytest.raises(IndexError, match='frame 6 of 6'):
        KittiPairs(data_root=str(root))[6]


# --------------------------------------------------------------------------- which frames


def test_interval_and_indices(root):
    def names(**kwargs):
        dataset = KittiPairs(data_root=str(root), **kwargs)
        return [dataset.get_data_info(i)['sample_id'][-1] for i in range(len(dataset))]

    assert names(interval=2) == ['0', '2', '4']
    assert names(interval=4) == ['0', '4']
    assert names(indices=2) == ['0', '1'] and names(indices=-2) == ['4', '5']


def test_scene_share_is_a_fixed_nested_list(tmp_path):
    root = write_waymo(tmp_path, segments=10, frames=2, val=0)

    def scenes(**kwargs):
        dataset = WaymoPairs(data_root=str(root), **kwargs)
        found = [dataset.get_data_info(i)['scene'] for i in range(len(dataset))]
        assert found == sorted(found)
        return set(found), len(found)

    half, tenth, fifth = scenes(scene_share=0.5), scenes(scene_share=0.1), scenes(scene_share=0.2)
    assert [len(x[0]) for x in (half, tenth, fifth)] == [5, 1, 2]
    assert half[1] == 10 and tenth[0] < fifth[0] < half[0]
    # pinned: another list would be another data set
    assert half[0] == {'0000', '0002', '0004', '0006', '0008'}
    assert scenes(scene_share=0.3, scene_seed=None)[0] == {'0000', '0001', '0002'}
    assert scenes(scene_share=0.5, scene_seed=1)[0] != half[0]
    assert scenes(scene_share=0.5, interval=2) == (half[0], 5)


def test_asked_scenes(tmp_path):
    root = write_waymo(tmp_path)
    assert len(WaymoPairs(data_root=str(root), scenes=['0002', '0000'])) == 8
    (root / 'mine.txt').write_text('0001\n')
    assert len(WaymoPairs(data_root=str(root), scenes='mine.txt')) == 4
    with pytest.raises(ValueError, match=r"1 of 2 asked scenes are not in.*'0009'"):
        WaymoPairs(data_root=str(root), scenes=['0000', '0009'])
    with pytest.raises(FileNotFoundError, match=r'no list of scenes at .*other\.txt'):
        WaymoPairs(data_root=str(root), scenes='other.txt')


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(cameras=['CAM9']), r"cameras must be one or several of \['CAM0'.*CAM9"),
        (dict(cameras=[]), 'cameras must be'),
        (dict(cameras=['CAM2', 'CAM2']), 'each once'),
        (dict(scene_share=0.0), r'scene_share must be in \(0, 1\], got 0'),
        (dict(scene_share=1.5), 'got 1.5'),
        (dict(interval=0), 'interval >= 1'),
        (dict(max_refetch=-1), 'max_refetch >= 0'),
        (dict(data_prefix=dict(image='x')), r"data_prefix has \['image'\], known are"),
        (dict(num_pts_feats=0), 'num_pts_feats=0'),
        (dict(intensity_scale=0), "intensity_scale must be positive or 'tanh', got 0"),
        (dict(pipeline=[dict(type='LoadLidar', num_sweeps=2)]), 'reads 2 earlier scans.* list 0'),
    ],
)
def test_impossible_arguments(root, kwargs, message):
    with pytest.raises(ValueError, match=message):
        KittiPairs(data_root=str(root), **kwargs)


# --------------------------------------------------------------------------- broken frames


def break_calibration(root, i, **matrices):
    path = root / 'training' / 'calib' / f'{i:06d}.txt'
    path.write_text(calibration_text(**matrices))


EYE = dict(P0=np.eye(3, 4), P1=np.eye(3, 4), P3=np.eye(3, 4), R0_rect=np.eye(3))


def truncate(root, i):
    scan(root, i).write_bytes(scan(root, i).read_bytes()[:-6])


def no_points(root, i):
    scan(root, i).write_bytes(b'')


def nan_point(root, i):
    points = np.fromfile(scan(root, i), np.float32)
    points[41] = np.nan
    points.tofile(scan(root, i))


def behind(root, i):
    points = np.fromfile(scan(root, i), np.float32).reshape(-1, 4)
    points[:, 0] *= -1
    points.tofile(scan(root, i))


def widen(width):
    def change(root, i):
        points = np.fromfile(scan(root, i), np.float32).reshape(-1, 4)
        ring = np.full((len(points), width - 4), 7, np.float32)
        np.hstack([points, ring]).tofile(scan(root, i))

    return change


def no_p2(root, i):
    break_calibration(root, i, **EYE, Tr_velo_to_cam=np.eye(3, 4))


def no_velo(root, i):
    break_calibration(root, i, **EYE, P2=np.eye(3, 4))


def broken_picture(root, i):
    path = root / 'training' / 'image_2' / f'{i:06d}.png'
    path.write_bytes(path.read_bytes()[:200])


BROKEN = [
    (truncate, r'000002\.bin: 4794 bytes are no whole number of points of 4 float32'),
    (no_points, r'000002\.bin: the scan is empty'),
    (nan_point, r'000002\.bin: 1 of 300 points have NaN or infinite values, .* row 10'),
    (behind, r'000002\.bin.*0 of 300 points|none of 300 points is between'),
    (widen(5), r'000002\.bin: read as 4 floats per point .*looks like 5 floats per point'),
    (widen(6), r'000002\.bin: read as 4 floats per point .*looks like 6 floats per point'),
    (no_p2, r"000002\.txt: lacks \['P2'\]"),
    (no_velo, r"000002\.txt: lacks \['Tr_velo_to_cam'\]"),
    (broken_picture, r'000002\.png: cannot decode'),
]


@pytest.mark.parametrize('change, message', BROKEN, ids=lambda x: getattr(x, '__name__', ''))
def test_broken_frame_is_one_error_or_one_logged_skip(root, warnings, change, message):
    change(root, 2)
    with pytest.raises(SampleError, match=message) as error:
        KittiPairs(data_root=str(root), pipeline=PIPELINE, max_refetch=0)[2]
    assert 'KittiPairs: frame 2' in str(error.value) and '\n' not in str(error.value)
    with pytest.raises(SampleError, match=message):
        KittiPairs(data_root=str(root), pipeline=PIPELINE, test_mode=True)[2]

    dataset = KittiPairs(data_root=str(root), pipeline=PIPELINE)
    for _ in range(3):
        for i in range(6):
            assert dataset[i]['data_samples'].sample_id != '000002'
    assert list(dataset.broken) == [2]
    assert len(warnings) == 1 and '[broken frame number 1, replaced]' in warnings[0]


def test_frame_without_points_in_the_picture_is_broken_without_the_filter_too(root):
    behind(root, 2)
    pipeline = [dict(type='LoadLidar'), dict(type='LoadPictures'), dict(type='PackPairs')]
    dataset = KittiPairs(data_root=str(root), pipeline=pipeline, max_refetch=0)
    assert dataset[1]['inputs']['points'].shape == (300, 4)
    with pytest.raises(SampleError, match=r'0 of 300 points lie in the pictures of .*CAM2'):
        dataset[2]


def test_all_broken_ends(root, warnings):
    for i in range(6):
        truncate(root, i)
    dataset = KittiPairs(data_root=str(root), pipeline=PIPELINE, max_refetch=100)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r'6 broken frames in a row \(max_refetch=100, 6'):
            dataset[0]
    assert len(warnings) == 6 == len(dataset.broken)


def test_too_many_broken_ends(root):
    for i in range(5):
        truncate(root, i)
    dataset = KittiPairs(data_root=str(root), pipeline=PIPELINE, max_refetch=1)
    found = 0
    for i in range(5):
        try:
            found += dataset[i]['data_samples'].sample_id == '000005'
        except RuntimeError as error:
            assert '2 broken frames in a row (max_refetch=1' in str(error)
        else:
            assert found
    assert found < 5


def test_replacement_does_not_depend_on_what_was_read_before(root):
    for i in (1, 3):
        truncate(root, i)
    fresh = KittiPairs(data_root=str(root), pipeline=PIPELINE)
    used = KittiPairs(data_root=str(root), pipeline=PIPELINE)
    for i in range(6):
        used[SeededIndex(i, 5)]
    for seed in range(4):
        a, b = fresh[SeededIndex(1, seed)], used[SeededIndex(1, seed)]
        assert a['data_samples'].sample_id == b['data_samples'].sample_id
        assert torch.equal(a['inputs']['points_aug'], b['inputs']['points_aug'])
        fresh = KittiPairs(data_root=str(root), pipeline=PIPELINE)


def test_unlucky_crop_does_not_lose_the_frame(root):
    """A draw gives what it gives in a fresh process, also after its frame once showed no point."""
    pipeline = [
        *PIPELINE[:2], dict(type='CropPictures', size=(14, 90)),
        dict(type='PackPairs', min_in_picture=100),
    ]  # fmt: skip
    draws = [SeededIndex(i, seed) for seed in range(8) for i in range(6)]
    used = KittiPairs(data_root=str(root), pipeline=pipeline)
    names = [used[draw]['data_samples'].sample_id for draw in draws]
    fresh = [
        KittiPairs(data_root=str(root), pipeline=pipeline)[draw]['data_samples'].sample_id
        for draw in draws
    ]
    assert names == fresh
    assert len(used.broken) > 2
    # all are drawn again after they were unlucky
    assert {f'{i:06d}' for i in used.broken} <= set(names[-12:])


def test_lists_of_different_length(root, warnings):
    scan(root, 1).unlink()
    (root / 'training' / 'image_2' / '000004.png').unlink()
    dataset = KittiPairs(data_root=str(root), pipeline=PIPELINE)
    assert [dataset[i]['data_samples'].sample_id for i in range(4)] == [
        '000000', '000002', '000003', '000005',
    ]  # fmt: skip
    (message,) = warnings
    assert '2 of 6 frames are left out' in message
    assert 'velodyne has 5 files and lacks 1 frames (000001)' in message
    assert 'image_2 has 5 files and lacks 1 frames (000004)' in message
    with pytest.raises(FileNotFoundError, match='2 of 6 frames are not complete'):
        KittiPairs(data_root=str(root), test_mode=True)


def test_nothing_in_common(root):
    for path in (root / 'training' / 'velodyne').iterdir():
        path.rename(path.with_name(f'x{path.name}'))
    with pytest.raises(FileNotFoundError, match='6 of 6 frames are not complete'):
        KittiPairs(data_root=str(root))


def test_missing_folder_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match='(?s)KittiPairs: no folder .*image_2.*velodyne'):
        KittiPairs(data_root=str(tmp_path))


def test_empty_list(root):
    (root / 'ImageSets' / 'train.txt').write_text('')
    with pytest.raises(ValueError, match='no frames in split'):
        KittiPairs(data_root=str(root))


def test_picture_size(root):
    pipeline = [dict(type='LoadLidar'), dict(type='LoadPictures'), dict(type='PackPairs')]
    item = KittiPairs(data_root=str(root), pipeline=pipeline)[0]
    assert item['inputs']['img'].shape == (1, 3, *SIZE)


def test_several_sets_at_once(root, tmp_path):
    """The seed of a draw reaches the set that it falls into; broken frames are replaced there."""
    other = write_waymo(tmp_path / 'waymo', segments=1, frames=3, val=0)
    truncate(root, 2)
    pipeline = [*PIPELINE[:2], dict(type='FlipPictures'), *PIPELINE[-2:]]
    both = ConcatDataset(
        [
            dict(type='KittiPairs', data_root=str(root), pipeline=pipeline),
            dict(type='WaymoPairs', data_root=str(other), pipeline=pipeline),
        ]
    )
    assert len(both) == 9
    items = [both[SeededIndex(i, 3)] for i in range(9)]
    names = [item['data_samples'].sample_id for item in items]
    assert names[6:] == ['0000000', '0000001', '0000002']
    assert names[2] != '000002' and len(names[2]) == 6
    again = both[SeededIndex(7, 3)]['inputs']
    assert torch.equal(again['points_aug'], items[7]['inputs']['points_aug'])


def test_meta_information_names_the_split(root):
    train, val = (
        dict(type='KittiPairs', data_root=str(root), split=split, lazy_init=True)
        for split in ('train', 'val')
    )
    joined = [ConcatDataset(parts, lazy_init=True) for parts in ([train, val], [train, train])]
    assert [made.metainfo['split'] for made in joined] == ['train+val', 'train']
