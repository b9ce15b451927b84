"""RGB-D sets: every layout gives the same geometry; what is broken is counted and named."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from mm3dpretrain.datasets import (
    SampleError,
    ScanNetFrames,
    SevenScenesFrames,
    ShapeFrames,
    SUNRGBDFrames,
    SyntheticRoomsFrames,
    TUMFrames,
)
from mm3dpretrain.datasets.folder_frames import pose_matrix
from mm3dpretrain.datasets.frame_files import check_pose, read_frame_depth, upright
from mm3dpretrain.datasets.frame_matching import View, depth_at, lift, project
from mm3dpretrain.datasets.synthetic import write_synthetic_rooms
from mm3dpretrain.datasets.transforms import (
    LoadFrames,
    LoadSceneCloud,
    PackFrames,
    SampleCorrespondences,
    SamplePoints,
)
from tests.frame_sets import (
    CAMERA,
    HALF,
    SIZE,
    poses,
    save_depth,
    save_matrix,
    save_picture,
    write_exported,
    write_seven_scenes,
    write_tum,
)

PIPELINE = [
    LoadFrames(),
    LoadSceneCloud(0.05, cache_dir=None),
    SamplePoints(256, allow_repeat=True),
    SampleCorrespondences(32),
    PackFrames(),
]


@pytest.fixture
def build(tmp_path):
    def make(kind, root=tmp_path, **kwargs):
        settings = dict(
            cache_dir=str(tmp_path / 'cache'), workers=1, pipeline=PIPELINE, overlap_stride=2
        )
        return kind(root, **{**settings, **kwargs})

    return make


def check_geometry(dataset, align: np.ndarray | None = None, tolerance=0.004) -> None:
    """The first views of the first tuple lie on the walls of the room."""
    record = LoadFrames()(dataset.get_data_info(0))
    for arrays in zip(record['depth'], record['intrinsics'], record['extrinsics']):
        view = View(*arrays)
        uv = np.stack(np.nonzero(view.depth)[::-1], 1) + 0.5
        world = lift(uv, depth_at(uv, view), view)
        world = world if align is None else world @ align[:3, :3]
        wall = np.abs(np.abs(world) - HALF).min(1)
        assert wall.max() < tolerance
        back, _ = project(lift(uv, depth_at(uv, view), view), view)
        assert np.abs(back - uv).max() < 1e-4


def test_scannet(tmp_path, build):
    write_exported(tmp_path, shift=0.5)
    write_exported(tmp_path, scene='scene0001_00', num=4, shift=0.5)
    dataset = build(ScanNetFrames)
    record = dataset.get_data_info(0)
    assert record['sample_id'] == 'scene0000_00/0-1' and record['scene'] == 'scene0000_00'
    assert len(record['overlap']) == 1 and 0.3 <= record['overlap'][0] < 0.9
    assert record['cloud_path'] is None and record['gravity_axis'] == 'z'
    assert set(record['frames'][0]) == {
        'frame_id', 'img_path', 'depth_path', 'depth_scale', 'cam2world', 'cam2img',
    }  # fmt: skip
    np.testing.assert_allclose(record['frames'][0]['cam2img'], CAMERA)
    check_geometry(dataset)
    # opposite views are no pair
    ids = {dataset.get_data_info(k)['sample_id'] for k in range(len(dataset))}
    assert 'scene0000_00/0-5' not in ids and 'scene0001_00/2-3' in ids
    sample = dataset[0]
    assert sample['inputs']['query_valid'].all() and sample['inputs']['points'].shape == (256, 6)
    assert not dataset.skipped and not dataset.broken


def test_scannet_with_larger_colour(tmp_path, build):
    folder = write_exported(tmp_path, color_size=(120, 160), shift=0.5)
    dataset = build(ScanNetFrames)
    frame = dataset.get_data_info(0)['frames'][0]
    np.testing.assert_allclose(frame['depth_cam2img'], CAMERA)
    np.testing.assert_allclose(frame['cam2img'][0, 0], 2 * CAMERA[0, 0])
    check_geometry(dataset)
    # centres of two cameras that differ are logged
    matrix = np.eye(4)
    matrix[0, 3] = 0.04
    save_matrix(folder / 'intrinsic' / 'extrinsic_color.txt', matrix)
    warned = []
    dataset = build(ScanNetFrames, lazy_init=True)
    dataset._warn = warned.append
    dataset.full_init()
    assert len(warned) == 1 and 'not the identity' in warned[0]


def test_choice_of_frames_and_tuples(tmp_path, build):
    write_exported(tmp_path, num=8, shift=0.5)
    first = build(ScanNetFrames, frame_range=(None, 4))
    last = build(ScanNetFrames, frame_range=(-4, None))
    every = build(ScanNetFrames, frame_interval=2, min_overlap=0.1)

    def used(dataset):
        records = [dataset.get_data_info(k) for k in range(len(dataset))]
        return {frame['frame_id'] for record in records for frame in record['frames']}

    assert used(first) == set('0123') and used(last) == set('4567')
    assert used(every) == set('0246')
    assert len(build(ScanNetFrames, max_tuples=2)) == 2
    four = build(ScanNetFrames, num_views=4)
    record = four.get_data_info(0)
    assert len(record['frames']) == 4 and len(record['overlap']) == 2
    inputs = four[0]['inputs']
    assert inputs['img'].shape[0] == 4 and inputs['query_valid'].all()
    single = build(ScanNetFrames, num_views=1, pipeline=[])
    assert (
        len(single) == 8
        and single[3]['overlap'] == []
        and single[3]['sample_id'] == 'scene0000_00/3'
    )
    strict = build(ScanNetFrames, min_overlap=0.6)
    assert 0 < len(strict) < len(build(ScanNetFrames))


def test_clouds(tmp_path, build):
    folder = write_exported(tmp_path, shift=0.5)
    scan = build(ScanNetFrames, cloud='scan')
    record = scan.get_data_info(0)
    cloud = LoadSceneCloud()(record)['points']
    wall = np.abs(np.abs(cloud[:, :3]) - HALF).min(1)
    assert wall.max() < 0.004
    # the colours say where a point is, all frames are in it, one cube has one point
    np.testing.assert_allclose((2 * cloud[:, 3:] - 1) * HALF, cloud[:, :3], atol=0.02)
    pair = LoadSceneCloud()(LoadFrames()(build(ScanNetFrames).get_data_info(0)))['points']
    assert np.ptp(cloud[:, 0]) > np.ptp(pair[:, 0]) + 0.1
    assert scan.get_data_info(1)['cloud_path'] == record['cloud_path']
    with pytest.raises(ValueError, match='no usable frame.*no cloud or mesh'):
        build(ScanNetFrames, cloud='file')
    triangle = 'ply\nformat ascii 1.0\nelement vertex 3\n' + ''.join(
        f'property float {axis}\n' for axis in 'xyz'
    )
    triangle += 'element face 1\nproperty list uchar int vertex_indices\nend_header\n'
    triangle += '0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n'
    (folder / 'scene0000_00_vh_clean_2.ply').write_text(triangle)
    record = build(ScanNetFrames, cloud='file').get_data_info(0)
    points = LoadSceneCloud(mesh_points=100, cache_dir=None)(record)['points']
    assert points.shape == (100, 6) and np.abs(points[:, 2]).max() == 0


@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_seven_scenes(tmp_path, build, suffix):
    write_seven_scenes(tmp_path, suffix=suffix)
    dataset = build(SevenScenesFrames)
    assert set(dataset.scans) == {'kitchen/seq-01', 'kitchen/seq-02'}
    (tmp_path / 'kitchen' / 'TrainSplit.txt').write_text('sequence2\n')
    (tmp_path / 'kitchen' / 'TestSplit.txt').write_text('sequence1\n')
    assert set(build(SevenScenesFrames).scans) == {'kitchen/seq-02'}
    assert set(build(SevenScenesFrames, split='test').scans) == {'kitchen/seq-01'}
    assert len(build(SevenScenesFrames, split='all').scans) == 2
    # the cameras look down a little: their mean of down is a little off
    (tmp_path / 'gravity-direction.txt').write_text('0 0 -1\n')
    check_geometry(build(SevenScenesFrames))


def test_gravity(tmp_path, build):
    turn = np.eye(4)
    turn[:3, :3] = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turn[:3, :3] *= np.sign(np.linalg.det(turn[:3, :3]))
    write_seven_scenes(tmp_path, turn=turn)
    guessed = build(SevenScenesFrames).get_data_info(0)['frames'][0]['cam2world']
    # a hand-held camera is upright: its downward direction is down, up to how it looks down
    assert guessed[2, 1] < -0.9
    down = turn[:3, :3] @ [0, 0, -1]
    (tmp_path / 'gravity-direction.txt').write_text(' '.join(map(str, down)))
    dataset = build(SevenScenesFrames)
    scan = dataset.scans['kitchen/seq-01']
    np.testing.assert_allclose(scan.align[:3, :3] @ down, [0, 0, -1], atol=1e-12)
    # only the turn about gravity is left
    check_geometry(dataset, scan.align @ turn)
    for direction in ([0, 0, 1], [0, 0, -1], [1, 2, 3]):
        rotation = upright(np.array(direction))[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) > 0
        np.testing.assert_allclose(
            rotation @ direction, [0, 0, -np.linalg.norm(direction)], atol=1e-12
        )
    with pytest.raises(ValueError, match='must have a length'):
        upright(np.zeros(3))


def test_tum(tmp_path, build):
    folder = write_tum(tmp_path)
    dataset = build(TUMFrames)
    np.testing.assert_allclose(dataset.get_data_info(0)['frames'][0]['cam2img'], CAMERA)
    check_geometry(dataset)
    # one depth picture comes too late, one pose has NaN
    lines = (folder / 'depth.txt').read_text().splitlines()
    lines[2] = lines[2].replace('100.104000', '100.150000', 1)
    (folder / 'depth.txt').write_text('\n'.join(lines))
    lines = (folder / 'groundtruth.txt').read_text().splitlines()
    lines[4] = ' '.join([lines[4].split()[0], *['nan'] * 7])
    (folder / 'groundtruth.txt').write_text('\n'.join(lines))
    dataset = build(TUMFrames)
    reasons = sorted(dataset.skipped.values())
    assert len(reasons) == 2
    assert 'no depth picture within 0.02 s' in reasons[0] and 'tracking was lost' in reasons[1]
    with pytest.raises(ValueError, match='max_delay'):
        build(TUMFrames, max_delay=0)
    assert np.isnan(pose_matrix(['a'] * 7)).all()


def test_synthetic_rooms_and_their_cloud(tmp_path, build):
    write_synthetic_rooms(
        tmp_path, train=1, val=1, frames=6, steps=1, image_size=(60, 80), depth_noise=0,
        num_points=20000, workers=1, progress=False,
    )  # fmt: skip
    dataset = build(SyntheticRoomsFrames, cloud='file', min_overlap=0.2)
    assert list(dataset.scans) == ['room0000_00']
    assert list(build(SyntheticRoomsFrames, split='val', min_overlap=0.1).scans) == ['room0001_00']
    record = LoadFrames()(dataset.get_data_info(0))
    cloud = LoadSceneCloud()(record)['points']
    # the cloud that was scanned and the frames are of one world: its points pass the depth test
    for arrays in zip(record['depth'], record['intrinsics'], record['extrinsics']):
        view = View(*arrays)
        uv, z = project(cloud[:, :3].astype(np.float64), view)
        measured = depth_at(uv, view)
        hit = (measured > 0) & (z > 0)
        assert hit.sum() > 500
        assert np.median(np.abs(z - measured)[hit]) < 0.03
    sample = dataset[0]['inputs']
    assert sample['query_valid'].float().mean() > 0.5


def test_shapes(tmp_path, build):
    from tools.dataset_converters import render_views

    meshes = tmp_path / 'meshes'
    for number in range(11):
        (meshes / f'shape{number:02d}').mkdir(parents=True)
        (meshes / f'shape{number:02d}' / 'model.off').write_text(
            'OFF\n4 4 0\n0 0 1\n1 0 -0.5\n-0.8 0.7 -0.5\n-0.5 -0.9 -0.5\n'
            '3 0 1 2\n3 0 2 3\n3 0 3 1\n3 1 3 2\n'
        )
    arguments = [str(meshes), str(tmp_path / 'out'), '--layout', 'rgbd', '--image-size', '48']
    assert render_views.main([*arguments, '--workers', '1']) == 0
    settings = dict(root=tmp_path / 'out', min_overlap=0.2, cloud='file')
    train = build(ShapeFrames, **settings)
    test = build(ShapeFrames, split='test', **settings)
    every = build(ShapeFrames, split='all', **settings)
    assert len(train.scans) == 10 and len(test.scans) == 1 and len(every.scans) == 11
    assert not set(train.scans) & set(test.scans)
    record = LoadFrames()(train.get_data_info(0))
    cloud = LoadSceneCloud()(record)['points']
    assert 0.9 < np.linalg.norm(cloud[:, :3], axis=1).max() < 1.01
    view = View(record['depth'][0], record['intrinsics'][0], record['extrinsics'][0])
    uv, z = project(cloud[:, :3].astype(np.float64), view)
    measured = depth_at(uv, view)
    hit = measured > 0
    assert hit.mean() > 0.9
    # at 48 x 48 a pixel of a steep face has many depths; little is nearer than what the view shows
    error = (z - measured)[hit]
    assert np.percentile(error, 10) > -0.1 and (np.abs(error) < 0.05).mean() > 0.2
    with pytest.raises(ValueError, match="'train', 'test' or 'all'"):
        build(ShapeFrames, root=tmp_path / 'out', split='val')


# ---------------------------------------------------------------------- bad input


def damage_poses(folder):
    (folder / 'pose' / '0.txt').unlink()
    save_matrix(folder / 'pose' / '1.txt', np.full((4, 4), np.nan))
    save_matrix(folder / 'pose' / '2.txt', np.full((4, 4), -np.inf))
    save_matrix(folder / 'pose' / '3.txt', 2 * np.eye(4))
    (folder / 'pose' / '4.txt').write_text('1 0 0\n')
    (folder / 'pose' / '5.txt').write_text('no pose')


def test_bad_poses(tmp_path, build):
    folder = write_exported(tmp_path, num=9, shift=0.5)
    damage_poses(folder)
    warned = []
    dataset = build(ScanNetFrames, lazy_init=True)
    dataset._warn = warned.append
    dataset.full_init()
    reasons = [dataset.skipped[f'scene0000_00/{k}'] for k in range(6)]
    for reason, part in zip(reasons, [
        'there is no pose', 'NaN or infinite', 'NaN or infinite', 'no rigid motion',
        '9, 12 or 16 numbers', 'cannot read the pose',
    ]):  # fmt: skip
        assert part in reason
    # one line each, and the count
    assert len(warned) == len(dataset.skipped) == 6
    assert all('is left out' in line and '\n' not in line for line in warned)
    assert len(dataset) == 3


def test_bad_depth(tmp_path, build):
    folder = write_exported(tmp_path, num=9, shift=0.5)
    path = folder / 'depth'
    cv2.imwrite(str(path / '0.png'), np.zeros(SIZE, np.uint16))
    depth = cv2.imread(str(path / '1.png'), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path / '1.png'), (depth // 100).astype(np.uint16))  # decimetres
    cv2.imwrite(str(path / '2.png'), np.minimum(10 * depth.astype(int), 65000).astype(np.uint16))
    cv2.imwrite(str(path / '3.png'), np.full((30, 40), 1500, np.uint16))
    (path / '4.png').write_bytes((path / '5.png').read_bytes()[:200])
    (path / '5.png').unlink()
    for attempt in range(2):  # the second time from the cache
        dataset = build(ScanNetFrames)
        reasons = [dataset.skipped[f'scene0000_00/{k}'] for k in range(6)]
        for reason, part in zip(reasons, [
            'empty depth map', 'another unit', 'another unit', 'one camera for both',
            'cannot decode', 'no depth picture',
        ]):  # fmt: skip
            assert part in reason, attempt
        assert len(dataset.skipped) == 6 and len(dataset) == 3
    np.save(tmp_path / 'nan.npy', np.full(SIZE, np.nan))
    with pytest.raises(SampleError, match='NaN'):
        read_frame_depth(tmp_path / 'nan.npy', 1000)
    # 7-Scenes writes 65535 for missing: dropped, and no sign of another unit
    mostly = np.full(SIZE, 65535, np.uint16)
    mostly[:5] = 2000
    cv2.imwrite(str(tmp_path / 'mostly.png'), mostly)
    read = read_frame_depth(tmp_path / 'mostly.png', 1000)
    assert (read[:5] == 2).all() and not read[5:].any()
    cv2.imwrite(str(tmp_path / 'all.png'), np.full(SIZE, 65535, np.uint16))
    with pytest.raises(SampleError, match='empty depth map'):
        read_frame_depth(tmp_path / 'all.png', 1000)


def test_bad_intrinsics_and_scans(tmp_path, build):
    good = write_exported(tmp_path, num=4, shift=0.5)
    other = write_exported(tmp_path, num=4, scene='scene0001_00', shift=0.5)
    matrix = np.eye(4)
    matrix[:2, 2] = 300
    save_matrix(other / 'intrinsic' / 'intrinsic_color.txt', matrix)
    save_matrix(other / 'intrinsic' / 'intrinsic_depth.txt', matrix)
    with open(tmp_path / 'splits' / 'train.txt', 'a') as file:
        file.write('scene0002_00\nscene0003_00\n')
    third = write_exported(tmp_path, num=2, scene='scene0003_00', shift=0.5)
    (third / 'intrinsic' / 'intrinsic_depth.txt').unlink()
    dataset = build(ScanNetFrames)
    assert 'principal point' in dataset.skipped['scene0001_00/0']
    assert 'not a scan' in dataset.skipped['scene0002_00']
    assert 'there is no intrinsics' in dataset.skipped['scene0003_00']
    assert {dataset.get_data_info(k)['scene'] for k in range(len(dataset))} == {good.name}
    save_matrix(good / 'intrinsic' / 'intrinsic_color.txt', np.full((4, 4), np.nan))
    with pytest.raises(ValueError, match='no usable frame.*frames or scans left out'):
        build(ScanNetFrames)


def test_frames_without_overlap(tmp_path, build):
    folder = write_exported(tmp_path, num=4, shift=0.5)
    other = write_exported(tmp_path, num=2, scene='scene0001_00', shift=0.5)
    turned = np.diag([-1.0, 1, -1, 1])
    save_matrix(other / 'pose' / '1.txt', poses()[0] @ turned)
    dataset = build(ScanNetFrames)
    assert list(dataset.skipped) == ['scene0001_00']
    assert 'no two of its frames share 30%' in dataset.skipped['scene0001_00']
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match='no two of 2 frames.*lower min_overlap'):
        build(ScanNetFrames)


def test_nothing_is_left(tmp_path, build):
    folder = write_exported(tmp_path, num=3, shift=0.5)
    for path in (folder / 'pose').iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r'no usable frame .*\(3 frames or scans left out\)'):
        build(ScanNetFrames)
    with pytest.raises(FileNotFoundError, match='export_scannet_frames'):
        build(ScanNetFrames, tmp_path / 'none')
    with pytest.raises(FileNotFoundError, match="split='all'"):
        build(ScanNetFrames, split='val')
    for kind in (SevenScenesFrames, TUMFrames, SUNRGBDFrames):
        with pytest.raises(FileNotFoundError, match='Expected layout'):
            build(kind, tmp_path / 'none')


def test_a_frame_that_breaks_later_is_replaced(tmp_path, build):
    folder = write_exported(tmp_path, num=4, shift=0.5)
    dataset = build(ScanNetFrames)
    (folder / 'color' / '0.png').write_bytes(b'')
    assert dataset[0]['data_samples'].frame_ids != ['0', '1']
    assert list(dataset.broken) == [0] and '0.png' in dataset.broken[0]
    with pytest.raises(SampleError, match='0.png'):
        build(ScanNetFrames, test_mode=True)[0]


def test_arguments(tmp_path, build):
    write_exported(tmp_path, shift=0.5)
    for wrong, message in (
        (dict(num_views=3), 'num_views must be 1 or even'),
        (dict(min_overlap=0), 'min_overlap'),
        (dict(frame_interval=0), 'must be positive'),
        (dict(max_tuples=0), 'must be positive'),
        (dict(depth_range=(1, 1)), 'near < far'),
        (dict(depth_tol=-1.0), 'depth_tol > 0'),
        (dict(cloud='mesh'), 'cloud must be one of'),
        (dict(frame_range=(1,)), 'frame_range'),
        (dict(scenes=['scene9']), 'not in'),
    ):
        with pytest.raises(ValueError, match=message):
            build(ScanNetFrames, **wrong)
    with pytest.raises(ValueError, match='one view'):
        build(SUNRGBDFrames, num_views=2)


def test_poses_become_exact():
    pose = poses()[1]
    rounded = check_pose(np.round(pose, 3), 'x')
    np.testing.assert_allclose(rounded[:3, :3] @ rounded[:3, :3].T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(rounded, pose, atol=2e-3)
    with pytest.raises(SampleError, match='4 x 4'):
        check_pose(np.eye(3), 'x')
    with pytest.raises(SampleError, match='no rigid motion'):
        check_pose(np.diag([1.0, 1, -1, 1]), 'x')


# ---------------------------------------------------------------------- real frames


def test_real_seven_scenes(data_root, build):
    root = data_root / 'rgbd_7scenes'
    train = build(SevenScenesFrames, root, split='all', frame_range=(None, 65), overlap_stride=16)
    scan = train.scans['frames']
    assert len(scan.frames) == 65 and not train.skipped and len(train) > 500
    held = build(SevenScenesFrames, root, split='all', frame_range=(-20, None), overlap_stride=16)
    assert not {f['frame_id'] for f in scan.frames} & {
        f['frame_id'] for f in held.scans['frames'].frames
    }
    # the camera is held upright, the room is flat
    record = LoadFrames()(train.get_data_info(len(train) // 2))
    assert (record['extrinsics'][:, 1, 2] < -0.7).all()
    inputs = train[len(train) // 2]['inputs']
    assert inputs['query_valid'].all()


def test_real_sun_rgbd(data_root, build):
    dataset = build(
        SUNRGBDFrames, data_root / 'indoor_demo' / 'sunrgbd_toy' / 'images', pipeline=PIPELINE[:2]
    )
    assert len(dataset) == 2 and not dataset.skipped
    for sample in (dataset[0], dataset[1]):
        points = sample['points'][:, :3]
        assert sample['img'].shape == (1, *sample['depth'].shape[1:], 3)
        # the camera is held at 0 over a floor, in a room
        assert -2 < np.percentile(points[:, 2], 1) < -0.5
        assert 0.5 < np.median(sample['depth'][sample['depth'] > 0]) < 6
    filled = build(
        SUNRGBDFrames,
        data_root / 'indoor_demo' / 'sunrgbd_toy' / 'images',
        filled=True,
        pipeline=PIPELINE[:1],
    )
    assert (filled[0]['depth'] > 0).mean() > (dataset[0]['depth'] > 0).mean()


def test_real_scannet_cloud(data_root):
    path = data_root / 'indoor_demo' / 'scannet' / 'scene0000_00.bin'
    record = dict(cloud_path=str(path), cloud_align=np.eye(4))
    points = LoadSceneCloud()(record)['points']
    assert points.shape == (40684, 6) and 0 <= points[:, 3:].min() < points[:, 3:].max() <= 1


def test_pictures_stay_files(tmp_path):
    # the helper itself: what is written is what is read
    pixels = np.zeros((4, 6, 3), np.uint8)
    save_picture(tmp_path / 'a.png', pixels)
    save_depth(tmp_path / 'd.png', np.full((4, 6), 1.5))
    assert (read_frame_depth(tmp_path / 'd.png', 1000) == 1.5).all()
