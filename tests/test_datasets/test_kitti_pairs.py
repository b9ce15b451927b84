"""KITTI's pairs: real frames, info files, raw drives, the synthetic streets."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest

from mm3dpretrain.datasets import KittiPairs, KittiRawPairs, SampleError
from mm3dpretrain.datasets.io import read_image
from mm3dpretrain.datasets.kitti_infos import read_calibration, write_kitti_infos
from mm3dpretrain.datasets.lidar_io import read_lidar
from mm3dpretrain.datasets.projection import project_points
from mm3dpretrain.datasets.synthetic.streets_writer import write_synthetic_streets
from tests.pair_sets import no_collection, write_kitti, write_kitti_raw  # noqa: F401

READ = [dict(type='LoadLidar'), dict(type='LoadPictures'), dict(type='PackPairs')]


def naive_project(point, matrices, camera='P2'):
    """One point through KITTI's three matrices, one after the other."""
    x = np.append(np.asarray(point, np.float64)[:3], 1)
    x = matrices['Tr_velo_to_cam'] @ x
    x = matrices['R0_rect'] @ x
    u, v, z = (matrices[camera] @ x)[:3]
    return u / z, v / z, z


# --------------------------------------------------------------------------- real frames


@pytest.mark.parametrize('name, split, count', [('kitti_mini', 'trainval', 12),
                                                ('kitti_raw_seq', 'train', 29)])  # fmt: skip
def test_real_frames(data_root, name, split, count):
    root = data_root / name
    dataset = KittiPairs(data_root=str(root), split=split, pipeline=READ, max_refetch=0)
    assert len(dataset) == count
    for i in range(0, count, 4):
        record, item = dataset.get_data_info(i), dataset[i]
        inputs = item['inputs']
        points = inputs['points'].numpy()
        assert points[:, 3].min() >= 0 and points[:, 3].max() <= 1
        image = read_image(record['images'][0]['img_path'])
        assert (inputs['img'][0].numpy() == image.transpose(2, 0, 1)).all()
        # both sets hold what the camera sees: all points are in the picture, but for rounding
        uv, z, inside = project_points(
            points, np.stack([record['images'][0]['lidar2img']]), inputs['img_shape'].tolist()
        )
        assert inside.mean() > 0.995
        matrices = read_calibration(root / 'training' / 'calib' / f'{record["sample_id"]}.txt')
        for n in range(0, len(points), 3000):
            u, v, depth = naive_project(points[n], matrices)
            assert uv[0, n] == pytest.approx([u, v], abs=1e-6)
            assert z[0, n] == pytest.approx(depth)


def test_whole_scan_cut_to_the_picture_is_velodyne_reduced(data_root):
    root = data_root / 'kitti_mini'
    pipeline = [
        dict(type='LoadLidar'),
        dict(type='LoadPictures'),
        dict(type='PointsInPicture'),
        dict(type='PackPairs'),
    ]
    dataset = KittiPairs(
        data_root=str(root),
        split='trainval',
        data_prefix=dict(pts='training/velodyne'),
        pipeline=pipeline,
    )
    # only one frame has its whole scan
    assert len(dataset) == 1 and dataset.get_data_info(0)['sample_id'] == '000008'
    cut = dataset[0]['inputs']['points'].numpy()
    reduced = np.fromfile(root / 'training/velodyne_reduced/000008.bin', np.float32).reshape(-1, 4)
    same = {tuple(p) for p in cut} & {tuple(p) for p in reduced}
    # the reference cuts at the pixel grid of a frustum: some at the border differ
    assert len(same) > 0.99 * max(len(cut), len(reduced))


def test_first_and_last_of_the_real_sequence(data_root):
    args = dict(data_root=str(data_root / 'kitti_raw_seq'))
    first, last = KittiPairs(indices=24, **args), KittiPairs(indices=-5, **args)
    names = [[d.get_data_info(i)['sample_id'] for i in range(len(d))] for d in (first, last)]
    assert len(names[0]) == 24 and names[1] == ['000048', '000050', '000052', '000054', '000056']
    assert not set(names[0]) & set(names[1])


# --------------------------------------------------------------------------- layouts


def test_testing_split_and_no_lists(tmp_path):
    root = write_kitti(tmp_path, num=3, split=None, part='testing')
    dataset = KittiPairs(data_root=str(root), split='test', pipeline=READ)
    assert len(dataset) == 3
    assert '/testing/image_2/' in dataset.get_data_info(0)['images'][0]['img_path']
    write_kitti(tmp_path, num=2, split=None)
    assert len(KittiPairs(data_root=str(root))) == 2
    with pytest.raises(FileNotFoundError, match=r"no list .*val\.txt; take split 'train'"):
        KittiPairs(data_root=str(root), split='val')


def test_both_cameras_and_the_reduced_scans(tmp_path):
    root = write_kitti(tmp_path, num=2)
    folder = root / 'training'
    shutil.copytree(folder / 'image_2', folder / 'image_3')
    shutil.copytree(folder / 'velodyne', folder / 'velodyne_reduced')
    dataset = KittiPairs(data_root=str(root), cameras=['CAM3', 'CAM2'], pipeline=READ)
    item = dataset[0]
    assert item['inputs']['img'].shape[0] == item['inputs']['lidar2img'].shape[0] == 2
    assert item['data_samples'].camera_names == ['CAM3', 'CAM2']
    assert '/image_3/' in item['data_samples'].img_paths[0]
    assert '/velodyne_reduced/' in item['data_samples'].lidar_path
    shutil.rmtree(folder / 'image_3')
    with pytest.raises(FileNotFoundError, match=r'no folder .*image_3'):
        KittiPairs(data_root=str(root), cameras=['CAM3'])


def test_streets_from_folders_and_infos_are_the_same(tmp_path):
    root = tmp_path / 'streets'
    write_synthetic_streets(
        root, train=2, val=1, image_size=(47, 155), beams=16, columns=300, workers=1, progress=False
    )
    raw = KittiPairs(data_root=str(root), pipeline=READ, max_refetch=0)
    prefix = dict(pts='training/velodyne_reduced', img='training/image_{camera}')
    infos = KittiPairs(
        data_root=str(root),
        ann_file='kitti_infos_train.pkl',
        data_prefix=prefix,
        pipeline=READ,
        max_refetch=0,
    )
    assert len(raw) == len(infos) == 2 and len(KittiPairs(data_root=str(root), split='val')) == 1
    for i in range(2):
        a, b = raw[i], infos[i]
        assert a['data_samples'].sample_id == b['data_samples'].sample_id
        for key in ('points', 'img', 'lidar2img'):
            assert (a['inputs'][key] == b['inputs'][key]).all()
        inside = project_points(
            a['inputs']['points'].numpy(), a['inputs']['lidar2img'].numpy(), [(47, 155)]
        )[2]
        assert inside.all()


def test_infos_of_real_frames(data_root, tmp_path):
    shutil.copytree(data_root / 'kitti_mini', tmp_path / 'kitti')
    root = tmp_path / 'kitti'
    write_kitti_infos(root)
    shutil.rmtree(root / 'training' / 'label_2')
    shutil.rmtree(root / 'training' / 'calib')
    dataset = KittiPairs(
        data_root=str(root), ann_file='kitti_infos_val.pkl', pipeline=READ, max_refetch=0
    )
    real = KittiPairs(data_root=str(data_root / 'kitti_mini'), split='val', pipeline=READ)
    assert len(dataset) == len(real) == 3
    assert (dataset[1]['inputs']['lidar2img'] == real[1]['inputs']['lidar2img']).all()


def test_info_files_that_are_none(tmp_path):
    root = write_kitti(tmp_path, num=1)
    with pytest.raises(FileNotFoundError, match=r'no info file .*x\.pkl; write it with'):
        KittiPairs(data_root=str(root), ann_file='x.pkl')
    (root / 'x.pkl').write_bytes(pickle.dumps([dict(image={})]))
    with pytest.raises(SampleError, match="no 'data_list'; .*update_infos_to_v2"):
        KittiPairs(data_root=str(root), ann_file='x.pkl')
    (root / 'x.pkl').write_bytes(b'nonsense')
    with pytest.raises(SampleError, match='cannot read the pickle'):
        KittiPairs(data_root=str(root), ann_file='x.pkl')
    other = dict(images=dict(CAM_FRONT={}), lidar_points=dict(lidar_path='a.bin'))
    (root / 'x.pkl').write_bytes(pickle.dumps(dict(data_list=[other])))
    with pytest.raises(SampleError, match=r"x\.pkl: entry 0 has no 'R0_rect': is it .* KittiPairs"):
        KittiPairs(data_root=str(root), ann_file='x.pkl')


def test_asked_floats_per_point_win_over_the_info_file(tmp_path):
    """Info files of some converters say 6 where the scans have 4."""
    root = write_kitti(tmp_path)
    matrix = np.eye(4).tolist()
    infos = [
        dict(
            images=dict(CAM2=dict(img_path=f'{i:06d}.png', cam2img=matrix, lidar2cam=matrix)),
            lidar_points=dict(lidar_path=f'{i:06d}.bin', num_pts_feats=6),
        )
        for i in range(6)
    ]
    (root / 'x.pkl').write_bytes(pickle.dumps(dict(data_list=infos)))
    args = dict(data_root=str(root), ann_file='x.pkl', pipeline=READ[:1], max_refetch=0)
    with pytest.raises(SampleError, match='read as 6 floats .* looks like 4'):
        KittiPairs(**args)[0]
    assert KittiPairs(**args, num_pts_feats=4)[0]['points'].shape == (300, 4)


# --------------------------------------------------------------------------- raw drives


def test_raw_drives(tmp_path):
    root = write_kitti_raw(tmp_path)
    dataset = KittiRawPairs(data_root=str(root), pipeline=READ, max_refetch=0)
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    # one picture has no scan
    assert len(records) == 5
    assert [r['scene'][-9:] for r in records] == ['0000_sync'] * 3 + ['0001_sync'] * 2
    kitti = KittiPairs(data_root=str(write_kitti(tmp_path / 'object', num=1)))
    expected = kitti.get_data_info(0)['images'][0]['lidar2img']
    assert records[0]['images'][0]['lidar2img'] == pytest.approx(expected)
    assert dataset[4]['data_samples'].sample_id == '2011_09_26_drive_0001_sync/0000000001'
    name = '2011_09_26_drive_0001_sync'
    assert len(KittiRawPairs(data_root=str(root), scenes=[name])) == 2


def test_real_raw_calibration_agrees_with_the_object_form(data_root, tmp_path):
    """The official files of the day, and the object-style ones of the same sequence."""
    from mm3dpretrain.datasets.kitti_pairs import read_raw_calibration

    folder = data_root / 'kitti_raw_seq'
    raw = read_raw_calibration(folder / 'raw_calib')
    lidar2img = raw['P_rect_02'] @ raw['R_rect_00'] @ raw['velo_to_cam']
    record = KittiPairs(data_root=str(folder)).get_data_info(0)
    assert record['images'][0]['lidar2img'] == pytest.approx(lidar2img, rel=1e-5, abs=1e-4)


def test_broken_raw_calibration(tmp_path):
    root = write_kitti_raw(tmp_path)
    path = root / '2011_09_26' / 'calib_velo_to_cam.txt'
    path.write_text(path.read_text().replace('T:', 'S:'))
    with pytest.raises(SampleError, match=r"calib_velo_to_cam\.txt: lacks 'T'"):
        KittiRawPairs(data_root=str(root))
    path.unlink()
    with pytest.raises(SampleError, match=r'calib_velo_to_cam\.txt: cannot read'):
        KittiRawPairs(data_root=str(root))
    with pytest.raises(FileNotFoundError, match='(?s)KittiRawPairs.*Get it from.*_sync'):
        KittiRawPairs(data_root=str(tmp_path / 'nothing'))
    with pytest.raises(ValueError, match='no info files of raw drives'):
        KittiRawPairs(data_root=str(root), ann_file='x.pkl')


# --------------------------------------------------------------------------- scans


def test_scales_of_intensity(tmp_path):
    path = tmp_path / 'a.bin'
    rows = np.array([[1, 2, 3, 0, 9], [4, -5, 6, 51, 9], [7, 8, -9, 255, 9]], np.float32)
    rows.tofile(path)
    points = read_lidar(path, 5, 255)
    assert points[:, 3] == pytest.approx([0, 0.2, 1])
    assert (points[:, [0, 1, 2, 4]] == rows[:, [0, 1, 2, 4]]).all()
    assert read_lidar(path, 5, 'tanh')[:, 3] == pytest.approx(np.tanh([0, 51, 255]))
    message = r'goes from 0 to 255, it should be in \[0, 1\].*intensity_scale is wrong'
    with pytest.raises(SampleError, match=message):
        read_lidar(path, 5, 1.0)


@pytest.mark.parametrize('true, read', [(4, 5), (4, 6), (5, 4), (5, 6), (6, 4), (6, 5)])
def test_wrong_width_is_found_and_named(tmp_path, true, read):
    rng = np.random.default_rng(0)
    rows = rng.uniform([-40, -40, -2, 0], [40, 40, 1, 1], (600, 4))
    rows = np.hstack([rows, np.full((600, true - 4), 3.0)]).astype(np.float32)
    for count in (600, 599):  # a size that fits both, and one that does not
        rows[:count].tofile(tmp_path / 'a.bin')
        with pytest.raises(SampleError, match=rf'a\.bin.* {read} float.*looks like {true} floats'):
            read_lidar(tmp_path / 'a.bin', read)
    assert read_lidar(tmp_path / 'a.bin', true).shape == (599, true)


def test_arguments_of_read_lidar(tmp_path):
    with pytest.raises(ValueError, match='num_feats=3'):
        read_lidar('x', 3)
    with pytest.raises(ValueError, match='intensity_scale must be positive'):
        read_lidar('x', 4, 0)
    with pytest.raises(SampleError, match='cannot read the scan'):
        read_lidar(tmp_path / 'no.bin', 4)
