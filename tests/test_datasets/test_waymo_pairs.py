"""Waymo after mmdet3d's conversion: folders and info files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError, WaymoPairs
from tests.pair_sets import AXES, P2, SIZE, no_collection, write_waymo  # noqa: F401

READ = [dict(type='LoadLidar', use_dim=6), dict(type='LoadPictures'), dict(type='PackPairs')]
TWO = ['CAM_FRONT', 'CAM_FRONT_LEFT']


@pytest.fixture
def root(tmp_path):
    return write_waymo(tmp_path)


def test_folders(root):
    dataset = WaymoPairs(data_root=str(root), pipeline=READ, max_refetch=0)
    assert len(dataset) == 12
    record, inputs = dataset.get_data_info(5), dataset[5]['inputs']
    assert record['sample_id'] == '0001001' and record['scene'] == '0001'
    assert inputs['img'].shape == (1, 3, *SIZE) and inputs['points'].shape[1] == 6
    expected = P2 @ np.vstack([AXES, [0, 0, 0, 1]])
    assert record['images'][0]['lidar2img'][:3] == pytest.approx(expected)
    raw = np.fromfile(record['lidar_path'], np.float32).reshape(-1, 6)
    points = inputs['points'].numpy()
    assert points[:, 3] == pytest.approx(np.tanh(raw[:, 3])) and raw[:, 3].max() > 1.5
    assert (points[:, 4:] == raw[:, 4:]).all()


def test_splits(root):
    count = {s: len(WaymoPairs(data_root=str(root), split=s)) for s in ('train', 'val', 'trainval')}
    assert count == dict(train=12, val=4, trainval=16)
    (root / 'ImageSets').mkdir()
    (root / 'ImageSets' / 'val.txt').write_text('1000000\n1000002\n')
    assert len(WaymoPairs(data_root=str(root), split='val')) == 2
    with pytest.raises(ValueError, match="split must be of .* got 'all'"):
        WaymoPairs(data_root=str(root), split='all')


def test_cameras_of_different_size(root):
    item = WaymoPairs(data_root=str(root), cameras=TWO, pipeline=READ)[0]
    inputs = item['inputs']
    assert inputs['img'].shape == (2, 3, *SIZE)
    assert inputs['img_shape'].tolist() == [[40, 120], [32, 120]]
    assert (inputs['img'][1, :, 32:] == 0).all() and (inputs['img'][1, :, :32] > 0).any()
    expected = (P2 + 1) @ np.vstack([AXES, [0, 0, 0, 1]])
    assert inputs['lidar2img'][1, :3].numpy() == pytest.approx(expected, rel=1e-6)


def test_interval_of_the_public_set(root):
    dataset = WaymoPairs(data_root=str(root), interval=5)
    names = [dataset.get_data_info(i)['sample_id'] for i in range(len(dataset))]
    assert names == ['0000000', '0001001', '0002002']


def test_info_file(root):
    folders = WaymoPairs(data_root=str(root), cameras=TWO, pipeline=READ)
    infos = []
    for i in range(3):
        record = folders.get_data_info(i)
        images = {
            image['camera']: dict(
                img_path=f'{record["sample_id"]}.jpg',
                cam2img=(P2 + k).tolist(),
                lidar2cam=image['lidar2cam'].astype(np.float32).tolist(),
            )
            for k, image in enumerate(record['images'])
        }
        lidar = dict(num_pts_feats=6, lidar_path=f'{record["sample_id"]}.bin')
        infos.append(dict(sample_idx=i, images=images, lidar_points=lidar))
    (root / 'waymo_infos_train.pkl').write_bytes(pickle.dumps(dict(data_list=infos)))
    args = dict(data_root=str(root), ann_file='waymo_infos_train.pkl', pipeline=READ)
    dataset = WaymoPairs(cameras=TWO, max_refetch=0, **args)
    assert len(dataset) == 3
    for i in range(3):
        a, b = dataset[i], folders[i]
        assert a['data_samples'].sample_id == b['data_samples'].sample_id
        assert a['data_samples'].scene == '0000'
        assert (a['inputs']['img'] == b['inputs']['img']).all()
        assert (a['inputs']['points'] == b['inputs']['points']).all()
        assert a['inputs']['lidar2img'].numpy() == pytest.approx(
            b['inputs']['lidar2img'].numpy(), rel=1e-5
        )
    with pytest.raises(SampleError, match='0000000 has no CAM_SIDE_LEFT'):
        WaymoPairs(cameras=['CAM_SIDE_LEFT'], **args)


def test_calibration_without_the_camera(root):
    path = root / 'training' / 'calib' / '0000000.txt'
    lines = [line for line in path.read_text().splitlines() if '_cam_0' not in line]
    path.write_text('\n'.join(lines))
    with pytest.raises(SampleError, match=r"0000000\.txt: lacks \['Tr_velo_to_cam_0'\]"):
        WaymoPairs(data_root=str(root), pipeline=READ, max_refetch=0)[0]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='(?s)WaymoPairs: no folder.*Get it from'):
        WaymoPairs(data_root=str(tmp_path))
