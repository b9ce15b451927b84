"""nuScenes: the real key frame from its info file, and invented tables."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from mm3dpretrain.datasets import NuScenesPairs, SampleError, nuscenes_pairs
from mm3dpretrain.datasets.nuscenes_pairs import (
    CAMERAS,
    VAL_SCENES,
    _numbers,
    pose_matrix,
    read_table,
)
from mm3dpretrain.datasets.projection import project_points
from tests.pair_sets import SIZE, no_collection, write_nuscenes  # noqa: F401

READ = [dict(type='LoadLidar'), dict(type='LoadPictures'), dict(type='PackPairs')]
DEMO = 'n015-2018-07-24-11-22-45+0800'


@pytest.fixture
def demo(data_root):
    return dict(
        data_root=str(data_root / 'nuscenes_demo'),
        ann_file=f'{DEMO}.pkl',
        data_prefix=dict(pts='', img=''),
        max_refetch=0,
    )


def test_real_frame(demo):
    dataset = NuScenesPairs(pipeline=READ, **demo)
    assert len(dataset) == 1
    record, inputs = dataset.get_data_info(0), dataset[0]['inputs']
    assert record['scene'] == DEMO and record['num_pts_feats'] == 5
    assert [image['camera'] for image in record['images']] == list(CAMERAS)
    assert inputs['img'].shape == (6, 3, 900, 1600) and inputs['points'].shape == (34688, 4)
    assert inputs['points'][:, 3].max() == 1.0
    for image in record['images']:
        # rigid, and the projection is the product
        turn = image['lidar2cam'][:3, :3]
        assert turn @ turn.T == pytest.approx(np.eye(3), abs=1e-5)
        product = image['cam2img'] @ image['lidar2cam'][:3]
        assert image['lidar2img'][:3] == pytest.approx(product)
    uv, z, inside = project_points(
        inputs['points'].numpy(),
        np.stack([image['lidar2img'] for image in record['images']]),
        inputs['img_shape'].tolist(),
    )
    # six cameras of 70 to 110 degrees see all round, each a part of it
    share = inside.mean(axis=1)
    assert (share > 0.05).all() and (share < 0.25).all() and inside.any(axis=0).mean() > 0.5
    # y is forward: what the front camera sees has it positive
    points = inputs['points'].numpy()
    assert points[inside[0], 1].min() > 0 and points[inside[3], 1].max() < 0


def test_one_camera_or_a_random_one(demo):
    one = NuScenesPairs(cameras=['CAM_BACK'], pipeline=READ, **demo)[0]
    assert one['inputs']['img'].shape == (1, 3, 900, 1600)
    assert one['data_samples'].camera_names == ['CAM_BACK']
    pipeline = [dict(type='LoadLidar'), dict(type='LoadPictures', num_cameras=2)]
    dataset = NuScenesPairs(pipeline=[*pipeline, dict(type='PackPairs')], **demo)
    np.random.seed(0)
    seen = [tuple(dataset[0]['data_samples'].camera_names) for _ in range(4)]
    assert len(set(seen)) > 1
    assert all(a < b for a, b in (map(CAMERAS.index, names) for names in seen))


def test_car_itself_is_dropped(demo):
    pipeline = [dict(type='LoadLidar', min_distance=2.0, use_dim=5), *READ[1:]]
    points = NuScenesPairs(pipeline=pipeline, **demo)[0]['inputs']['points']
    distance = points[:, :2].norm(dim=1)
    assert points.shape[1] == 5 and distance.min() >= 2.0 and 20000 < len(points) < 34688


def test_wrong_width_of_the_real_scan(demo):
    assert NuScenesPairs(**demo).get_data_info(0)['num_pts_feats'] == 5  # from the info file
    dataset = NuScenesPairs(num_pts_feats=4, pipeline=READ, **demo)
    with pytest.raises(SampleError, match='read as 4 floats per point.*looks like 5 floats'):
        dataset[0]


# --------------------------------------------------------------------------- tables


@pytest.fixture
def root(tmp_path):
    return write_nuscenes(tmp_path)


def test_tables(root):
    dataset = NuScenesPairs(data_root=str(root), cameras=['CAM_FRONT'], pipeline=READ)
    assert len(dataset) == 2  # the training scene
    record = dataset.get_data_info(1)
    assert record['scene'] == 'scene-0061' and record['sample_id'] == 'scene-0061/2'
    item = dataset[1]
    assert item['inputs']['img'].shape == (1, 3, *SIZE)
    # the camera stands 0.7 m before and 0.5 m below the LiDAR; both are read at the same moment
    u, v, z = (record['images'][0]['lidar2img'] @ [10.0, 2, -1, 1])[:3]
    assert z == pytest.approx(9.3)
    assert u / z == pytest.approx(60 * -2 / 9.3 + 60)
    assert v / z == pytest.approx(60 * 0.5 / 9.3 + 20)


def test_splits_of_tables(root):
    def scenes(split):
        dataset = NuScenesPairs(data_root=str(root), split=split, cameras=['CAM_FRONT'])
        return [dataset.get_data_info(i)['scene'] for i in range(len(dataset))]

    assert scenes('train') == ['scene-0061'] * 2 and scenes('val') == ['scene-0003'] * 2
    assert scenes('trainval') == ['scene-0003'] * 2 + ['scene-0061'] * 2
    with pytest.raises(FileNotFoundError, match='(?s)v1.0-test.*Get it from'):
        NuScenesPairs(data_root=str(root), split='test', cameras=['CAM_FRONT'])
    with pytest.raises(ValueError, match="got 'mini'"):
        NuScenesPairs(data_root=str(root), split='mini')


def test_sweeps_lie_in_the_frame_of_the_scan(root):
    pipeline = [dict(type='LoadLidar', num_sweeps=5, with_time=True), *READ[1:]]
    args = dict(data_root=str(root), cameras=['CAM_FRONT'], pipeline=pipeline)
    dataset = NuScenesPairs(sweeps=5, **args)
    first, last = dataset.get_data_info(0), dataset.get_data_info(1)
    assert first['sweeps'] == [] and len(last['sweeps']) == 2
    # the car drove 1 m forward between two scans: what was seen before lies 1 m further back
    assert last['sweeps'][0]['to_key'][:3, 3] == pytest.approx([-1, 0, 0])
    assert last['sweeps'][1]['to_key'][:3, 3] == pytest.approx([-2, 0, 0])
    assert [sweep['time'] for sweep in last['sweeps']] == pytest.approx([0.05, 0.1])
    points = dataset[1]['inputs']['points'].numpy()
    assert points.shape == (900, 5)
    raw = np.fromfile(last['sweeps'][1]['lidar_path'], np.float32).reshape(-1, 5)
    assert points[600:, 0] == pytest.approx(raw[:, 0] - 2, abs=1e-5)
    assert sorted(set(points[:, 4].tolist())) == pytest.approx([0, 0.05, 0.1])
    # records list the sweeps, LoadLidar reads what it is asked for
    few = NuScenesPairs(**dict(args, sweeps=1, pipeline=READ))
    assert len(few.get_data_info(1)['sweeps']) == 1 and len(few[1]['inputs']['points']) == 300
    with pytest.raises(ValueError, match=r'reads 5 earlier scans, the records list 1.*sweeps=5'):
        NuScenesPairs(sweeps=1, **args)


def test_sweeps_of_an_info_file(root, tmp_path):
    """mmdet3d stores the inverse, ``lidar2sensor``."""
    import pickle

    dataset = NuScenesPairs(data_root=str(root), cameras=['CAM_FRONT'], sweeps=2)
    record = dataset.get_data_info(1)
    image = record['images'][0]
    info = dict(
        token='abc',
        timestamp=12.0,
        images=dict(
            CAM_FRONT=dict(
                img_path=image['img_path'].split('/')[-1],
                cam2img=image['cam2img'].tolist(),
                lidar2cam=image['lidar2cam'].tolist(),
            )
        ),
        lidar_points=dict(lidar_path=record['lidar_path'].split('/')[-1], num_pts_feats=5),
        lidar_sweeps=[
            dict(
                timestamp=12.0 - sweep['time'],
                lidar_points=dict(
                    lidar_path=sweep['lidar_path'],
                    lidar2sensor=np.linalg.inv(sweep['to_key']).tolist(),
                ),
            )
            for sweep in record['sweeps']
        ],
    )
    (root / 'infos.pkl').write_bytes(pickle.dumps(dict(data_list=[info], metainfo={})))
    args = dict(data_root=str(root), cameras=['CAM_FRONT'], sweeps=2)
    other = NuScenesPairs(ann_file='infos.pkl', **args).get_data_info(0)
    assert other['lidar_path'] == record['lidar_path'] and other['sample_id'] == 'abc'
    assert other['images'][0]['lidar2img'] == pytest.approx(image['lidar2img'])
    for a, b in zip(other['sweeps'], record['sweeps']):
        assert a['lidar_path'] == b['lidar_path'] and a['time'] == pytest.approx(b['time'])
        assert a['to_key'] == pytest.approx(b['to_key'])


def test_lost_rows_are_named(root):
    path = root / 'v1.0-trainval' / 'ego_pose.json'
    rows = [row for row in json.loads(path.read_text()) if row['token'] != 'p-scene-0061-2']
    path.write_text(json.dumps(rows))
    args = dict(data_root=str(root), cameras=['CAM_FRONT'])
    with pytest.raises(SampleError, match=r'ego_pose\.json lacks the pose of samples/'):
        NuScenesPairs(**args)
    with pytest.raises(SampleError, match=r"the key frame .* has no \['CAM_BACK'\]"):
        NuScenesPairs(data_root=str(root), cameras=['CAM_FRONT', 'CAM_BACK'])


@pytest.mark.parametrize('chunk', [1, 7, 64, 1 << 20])
def test_read_table(tmp_path, chunk):
    rows = [dict(a=i, b='x{]"[' * i, c=[1.5, None, True]) for i in range(20)]
    for indent in (None, 2):
        (tmp_path / 'a.json').write_text(json.dumps(rows, indent=indent))
        assert list(read_table(tmp_path / 'a.json', chunk)) == rows
    (tmp_path / 'a.json').write_text(json.dumps(rows)[:-30])
    with pytest.raises(SampleError, match=r'a\.json: truncated or broken'):
        list(read_table(tmp_path / 'a.json', chunk))
    (tmp_path / 'a.json').write_text('[]')
    assert list(read_table(tmp_path / 'a.json', chunk)) == []
    (tmp_path / 'a.json').write_text('{}')
    with pytest.raises(SampleError, match='no table'):
        list(read_table(tmp_path / 'a.json', chunk))
    with pytest.raises(SampleError, match='cannot read the table'):
        list(read_table(tmp_path / 'no.json', chunk))


def test_broken_row_is_found_before_the_rest_is_read(monkeypatch):
    """A table has up to a gigabyte, which must not be read and searched again and again."""
    text, taken = '[{"a": 1}, {"a": oops}, ' + '{"a": 2}, ' * 100_000 + '{}]', []

    class Table(io.StringIO):
        def read(self, size):
            taken.append(size)
            return super().read(size)

    monkeypatch.setattr(nuscenes_pairs, 'open', lambda *_, **__: Table(text), raising=False)
    with pytest.raises(SampleError, match='truncated or broken'):
        list(read_table('a.json', 1 << 12))
    assert sum(taken) < 100_000 < len(text)


def test_pose_matrix_agrees_with_scipy():
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(0)
    for _ in range(10):
        w, x, y, z = q = rng.normal(size=4)
        expected = Rotation.from_quat([x, y, z, w]).as_matrix()
        matrix = pose_matrix(q, [1, 2, 3])
        assert matrix[:3, :3] == pytest.approx(expected) and matrix[:, 3].tolist() == [1, 2, 3, 1]
    with pytest.raises(SampleError, match='no pose'):
        pose_matrix([0, 0, 0, 0], [1, 2, 3])


def test_official_validation_scenes():
    numbers = _numbers(VAL_SCENES)
    # the sum of the list in nuScenes' own development kit
    assert len(numbers) == 150 and sum(numbers) == 88948
    assert numbers >= {103, 916} and not numbers & {61, 655, 757, 1077, 1094, 1100}


def test_mini_version_has_its_own_split(tmp_path):
    root = write_nuscenes(tmp_path, 'v1.0-mini')
    args = dict(data_root=str(root), cameras=['CAM_FRONT'], version='v1.0-mini')
    # scene 3 is for validation in the complete set only
    assert len(NuScenesPairs(split='train', **args)) == 4
    with pytest.raises(ValueError, match='no frames in split'):
        NuScenesPairs(split='val', **args)
