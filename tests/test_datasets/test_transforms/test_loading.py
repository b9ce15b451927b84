"""LoadPoints and LoadView on every form that a record can have."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.transforms import LoadPoints, LoadView


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def test_points_in_memory_stacked_and_in_a_file(tmp_path, cloud):
    np.save(tmp_path / 'stack.npy', np.stack([cloud, cloud + 1]))
    np.save(tmp_path / 'one.npy', cloud)
    records = [
        dict(points=cloud),
        dict(points_path=str(tmp_path / 'stack.npy'), points_index=0),
        dict(points_path=str(tmp_path / 'one.npy')),
    ]
    for record in records:
        results = LoadPoints()(record)
        np.testing.assert_array_equal(results['points'], cloud)
        assert results['points'].dtype == np.float32
        assert results['point_channels'] == ('x', 'y', 'z')


def test_extra_columns_are_left_out_unless_named(cloud):
    both = np.concatenate([cloud, np.full((20, 3), 0.5, np.float32)], 1)
    assert LoadPoints()(dict(points=both))['points'].shape == (20, 3)
    record = dict(points=both, extra_columns=dict(rgb=(3, 6)))
    results = LoadPoints(attributes=['rgb'])(record)
    np.testing.assert_array_equal(results['points'], both)
    assert results['point_channels'] == ('x', 'y', 'z', 'r', 'g', 'b')


@pytest.mark.parametrize(
    'dtype, stored, expected', [(np.uint8, 255, 1), (np.int8, -127, -1), (np.float16, 0.5, 0.5)]
)
def test_integer_attributes_are_scaled(tmp_path, cloud, dtype, stored, expected):
    np.save(tmp_path / 'points.npy', cloud[None])
    np.save(tmp_path / 'normal.npy', np.full((1, 20, 3), stored, dtype))
    record = dict(
        points_path=str(tmp_path / 'points.npy'),
        points_index=0,
        attribute_rows=dict(normal=str(tmp_path / 'normal.npy')),
    )
    results = LoadPoints(attributes=['normal'])(record)
    assert (results['points'][:, 3:] == expected).all()


def test_missing_and_wrong_attributes(tmp_path, cloud):
    with pytest.raises(SampleError, match="has no 'rgb'.*points only"):
        LoadPoints(attributes=['rgb'])(dict(points=cloud))
    with pytest.raises(ValueError, match='attributes must be of'):
        LoadPoints(attributes=['color'])
    np.savez(tmp_path / 'a.npz', rgb=np.zeros((19, 3), np.uint8), normal=np.zeros(20))
    record = dict(points=cloud, attributes_path=str(tmp_path / 'a.npz'))
    with pytest.raises(SampleError, match="20 points but 19 values of 'rgb'"):
        LoadPoints(attributes=['rgb'])(dict(record))
    with pytest.raises(SampleError, match=r"'normal' must be \(N, 3\)"):
        LoadPoints(attributes=['normal'])(dict(record))
    with pytest.raises(SampleError, match="no array 'part'"):
        LoadPoints(load_part=True)(dict(record))


@pytest.mark.parametrize('points', [np.zeros((5, 2)), np.zeros((0, 3)), np.full((5, 3), np.nan)])
def test_bad_clouds(points):
    with pytest.raises(SampleError, match='sample chair_1'):
        LoadPoints()(dict(points=points, sample_id='chair_1'))


@pytest.fixture
def record(tmp_path):
    """Four views of 8 x 8, grey 0, 60, 120, 180, with cameras of 16 x 16 at distance 2 to 5."""
    names = []
    for view in range(4):
        path = tmp_path / f'{view:02d}.png'
        Image.new('RGB', (8, 8), (60 * view,) * 3).save(path)
        names.append(str(path))
    extrinsics = np.tile(np.eye(4, dtype=np.float32), (4, 1, 1))
    extrinsics[:, 2, 3] = 2 + np.arange(4)
    np.savez(
        tmp_path / 'cameras.npz',
        extrinsics=extrinsics,
        intrinsics=np.tile(np.float32([[20, 0, 8], [0, 20, 8], [0, 0, 1]]), (4, 1, 1)),
        image_size=[16, 16],
        projection='orthographic',
    )
    return dict(img_paths=names, camera_path=str(tmp_path / 'cameras.npz'))


def test_view_and_its_camera(record):
    results = LoadView(which=2)(dict(record))
    assert results['img'].shape == (8, 8, 3) and results['img'][0, 0, 0] == 120
    assert results['view_index'] == [2]
    cameras = results['cameras']
    assert (len(cameras), cameras.num_views) == (1, 1)
    assert cameras.extrinsics[0, 0, 2, 3] == 4
    assert cameras.projection == 'orthographic'
    # the camera follows the size of the picture
    assert cameras.image_size == (8, 8) and cameras.intrinsics[0, 0, 0, 0] == 10
    assert 'cameras' not in LoadView(which=2, load_cameras=False)(dict(record))


def test_camera_belongs_to_the_number_in_the_name(record):
    del record['img_paths'][0]
    results = LoadView(which='first')(record)
    assert results['img'][0, 0, 0] == 60
    assert results['view_index'] == [1]
    assert results['cameras'].extrinsics[0, 0, 2, 3] == 3


def test_random_views(record):
    seen = set()
    for _ in range(40):
        results = LoadView(num_views=2)(dict(record))
        assert results['img'].shape == (2, 8, 8, 3)
        assert results['cameras'].num_views == 2
        grey = results['img'][:, 0, 0, 0] // 60
        assert grey.tolist() == results['view_index']
        assert (results['cameras'].extrinsics[0, :, 2, 3] - 2).tolist() == grey.tolist()
        assert len(set(results['view_index'])) == 2
        seen.update(results['view_index'])
    assert seen == {0, 1, 2, 3}


def test_stacked_views(tmp_path):
    stack = np.arange(2 * 3 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 3, 4, 5, 3)
    np.save(tmp_path / 'views.npy', stack)
    record = dict(views_path=str(tmp_path / 'views.npy'), views_index=1)
    results = LoadView(num_views=2, which=1)(record)
    np.testing.assert_array_equal(results['img'], stack[1, 1:])
    assert type(results['img']) is np.ndarray
    results['img'][:] = 0  # what a transform does to it does not reach the file
    np.testing.assert_array_equal(np.load(tmp_path / 'views.npy'), stack)


def test_missing_views(record, tmp_path):
    with pytest.raises(SampleError, match='missing view: 5 wanted'):
        LoadView(num_views=5)(dict(record))
    with pytest.raises(SampleError, match='missing view: views 3 to 4 wanted, there are 4'):
        LoadView(num_views=2, which=3)(dict(record))
    with pytest.raises(SampleError, match='missing view: 1 wanted, the record has 0'):
        LoadView()(dict(img_paths=[]))
    (tmp_path / '02.png').unlink()
    with pytest.raises(SampleError, match='02.png: the view does not exist'):
        LoadView(which=2)(dict(record))
    (tmp_path / '02.png').write_bytes((tmp_path / '01.png').read_bytes()[:40])
    with pytest.raises(SampleError, match='02.png: cannot decode'):
        LoadView(which=2)(dict(record))
    Image.new('RGB', (9, 8)).save(tmp_path / '02.png')
    with pytest.raises(SampleError, match='different size'):
        LoadView(num_views=4)(dict(record))


def test_bad_cameras(record, tmp_path):
    path = tmp_path / 'cameras.npz'
    content = path.read_bytes()
    np.savez(path, extrinsics=np.eye(4)[None], intrinsics=np.eye(3)[None], image_size=[8, 8],
             projection='perspective')  # fmt: skip
    with pytest.raises(SampleError, match='1 cameras, view 3 wanted'):
        LoadView(which=3)(dict(record))
    path.write_bytes(content[:100])
    with pytest.raises(SampleError, match='cameras.npz'):
        LoadView(which=0)(dict(record))
    np.savez(path, extrinsics=np.eye(4)[None])
    with pytest.raises(SampleError, match='cameras.npz'):
        LoadView(which=0)(dict(record))
    path.unlink()
    with pytest.raises(SampleError, match='cameras.npz'):
        LoadView(which=0)(dict(record))


@pytest.mark.parametrize('kwargs', [dict(num_views=0), dict(which='last')])
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError):
        LoadView(**kwargs)


def test_json_like_arguments():
    """Configs that went through JSON give lists for tuples."""
    load = LoadPoints(**json.loads('{"attributes": ["rgb"], "load_part": false}'))
    assert load.attributes == ('rgb',)
