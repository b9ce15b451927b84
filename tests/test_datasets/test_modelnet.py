"""ModelNet as OFF folders, resampled text, pickles and HDF5."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.registry import DATASETS

PIPELINE = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=64),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]


def build(kind, root, **kwargs):
    kwargs = {'expected_count': None, 'serialize_data': False, 'pipeline': PIPELINE, **kwargs}
    return DATASETS.build(dict(type=kind, data_root=str(root), **kwargs))


def test_off(modelnet_root, tmp_path):
    cache = tmp_path / 'cache'
    dataset = build('ModelNetOFF', modelnet_root, num_points=256, cache_dir=str(cache))
    assert dataset.metainfo['classes'] == ('chair', 'night_stand')
    assert dataset.gt_labels.tolist() == [0, 0, 1, 1]
    assert dataset.get_data_info(2)['sample_id'] == 'night_stand_0001'
    item = dataset[2]
    assert item['inputs']['points'].shape == (64, 3)
    assert item['data_samples'].gravity_axis == 'z'
    assert len(list(cache.rglob('*.npz'))) == 1
    assert len(build('ModelNetOFF', modelnet_root, split='test', cache_dir=None)) == 2
    # the same content, but each file draws its own points
    clouds = [
        build('ModelNetOFF', modelnet_root, pipeline=PIPELINE[:1])[i]['points'] for i in (0, 1)
    ]
    assert not np.array_equal(*clouds)


def test_off_broken_file(modelnet_root):
    path = modelnet_root / 'chair' / 'train' / 'chair_0002.off'
    path.write_text(path.read_text()[:60])
    dataset = build('ModelNetOFF', modelnet_root, cache_dir=None)
    with pytest.raises(SampleError, match='chair_0002.off.*truncated'):
        dataset[1]
    dataset = build('ModelNetOFF', modelnet_root, cache_dir=None, on_error='skip')
    assert dataset[1]['data_samples'].sample_id != 'chair_0002'


def test_counts_and_classes_are_checked(modelnet_root):
    with pytest.raises(ValueError, match='2 classes.*num_classes=40'):
        build('ModelNetOFF', modelnet_root, expected_count='auto')
    with pytest.raises(ValueError, match='split'):
        build('ModelNetOFF', modelnet_root, split='val')


def test_published_counts():
    for kind, train in (('ModelNetOFF', 9843), ('ModelNetResampled', 9843), ('ModelNetHDF5', 9840)):
        make = {'type': kind, 'data_root': 'nowhere', 'lazy_init': True}
        assert DATASETS.build(make).expected_count == train
        assert DATASETS.build({**make, 'split': 'test'}).expected_count == 2468
    assert DATASETS.build({**make, 'type': 'ModelNetOFF', 'num_classes': 10}).expected_count == 3991


@pytest.mark.parametrize('kind', ['ModelNetOFF', 'ModelNetResampled', 'ModelNetHDF5'])
def test_missing_root(tmp_path, kind):
    with pytest.raises(FileNotFoundError, match='(?s)Get it from.*Expected layout'):
        build(kind, tmp_path / 'nowhere')


@pytest.fixture
def resampled_root(tmp_path):
    root = tmp_path / 'modelnet40_normal_resampled'
    rng = np.random.default_rng(0)
    (root / 'night_stand').mkdir(parents=True)
    (root / 'chair').mkdir()
    (root / 'modelnet40_shape_names.txt').write_text('chair\nnight_stand\n')
    names = ['chair_0001', 'night_stand_0001', 'night_stand_0002']
    (root / 'modelnet40_train.txt').write_text('\n'.join(names) + '\n')
    clouds = []
    for name in names:
        cloud = np.concatenate([rng.uniform(-1, 1, (128, 3)), np.tile([0, 0, 1], (128, 1))], 1)
        clouds.append(cloud.astype(np.float32))
        path = root / name.rpartition('_')[0] / f'{name}.txt'
        np.savetxt(path, cloud, delimiter=',', fmt='%.6f')
    return root, clouds


def write_dat(root, clouds, labels, protocol=4):
    labels = [np.array([label], np.int32) for label in labels]
    path = root / 'modelnet40_train_8192pts_fps.dat'
    path.write_bytes(pickle.dumps([clouds, labels], protocol=protocol))
    return path


def test_resampled_text(resampled_root, tmp_path):
    root, clouds = resampled_root
    pipeline = [dict(type='LoadPoints', attributes=('normal',))]
    dataset = build('ModelNetResampled', root, pipeline=pipeline, cache_dir=str(tmp_path / 'cache'))
    assert dataset.gt_labels.tolist() == [0, 1, 1]
    for index, cloud in enumerate(clouds):
        np.testing.assert_allclose(dataset[index]['points'], cloud, atol=1e-6)
    assert dataset[0]['point_channels'] == ('x', 'y', 'z', 'nx', 'ny', 'nz')
    assert len(list((tmp_path / 'cache').rglob('*.npz'))) == 3


@pytest.mark.parametrize('protocol', [2, 4])
def test_resampled_pickle(resampled_root, tmp_path, protocol):
    root, clouds = resampled_root
    write_dat(root, clouds, [0, 1, 1], protocol)
    cache = tmp_path / 'cache'
    dataset = build('ModelNetResampled', root, cache_dir=str(cache))
    info = dataset.get_data_info(2)
    assert info['points_index'] == 2 and info['points_path'].endswith('points.npy')
    raw = build(
        'ModelNetResampled',
        root,
        cache_dir=str(cache),
        pipeline=[dict(type='LoadPoints', attributes=['normal'])],
    )
    np.testing.assert_array_equal(raw[1]['points'], clouds[1])
    assert dataset[1]['inputs']['points'].shape == (64, 3)
    text = build('ModelNetResampled', root, cache_dir=str(cache), source='text')
    assert text.get_data_info(2)['points_path'].endswith('night_stand_0002.txt')


def test_resampled_pickle_refusals(resampled_root, tmp_path):
    root, clouds = resampled_root
    cache = str(tmp_path / 'cache')
    write_dat(root, clouds, [0, 1, 0])
    with pytest.raises(SampleError, match='labels do not agree'):
        build('ModelNetResampled', root, cache_dir=cache)
    write_dat(root, clouds[:2], [0, 1])
    with pytest.raises(SampleError, match='2 labels do not agree with the 3'):
        build('ModelNetResampled', root, cache_dir=cache)
    broken = [clouds[0], np.full_like(clouds[1], np.nan), clouds[2]]
    write_dat(root, broken, [0, 1, 1])
    with pytest.raises(SampleError, match=r'fps.dat\[1\].*NaN'):
        build('ModelNetResampled', root, cache_dir=cache)
    path = write_dat(root, clouds, [0, 1, 1])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(SampleError, match='cannot read the pickle'):
        build('ModelNetResampled', root, cache_dir=cache)
    path.write_bytes(pickle.dumps('text'))
    with pytest.raises(SampleError, match='expected'):
        build('ModelNetResampled', root, cache_dir=cache)
    path.write_bytes(b'cos\nsystem\n(S"true"\ntR.')
    with pytest.raises(SampleError, match='refused'):
        build('ModelNetResampled', root, cache_dir=cache)
    with pytest.raises(FileNotFoundError, match='modelnet40_test.txt'):
        build('ModelNetResampled', root, split='test', cache_dir=cache)


def test_resampled_unknown_class(resampled_root):
    root, _ = resampled_root
    (root / 'modelnet40_train.txt').write_text('sofa_0001\n')
    with pytest.raises(ValueError, match="'sofa_0001' is of no class"):
        build('ModelNetResampled', root)


def write_hdf5(path, data, label):
    h5py = pytest.importorskip('h5py')
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, 'w') as file:
        file['data'] = data
        file['label'] = label


def test_hdf5(tmp_path):
    root = tmp_path / 'modelnet40_ply_hdf5_2048'
    data = np.random.default_rng(0).uniform(-1, 1, (5, 128, 3)).astype(np.float32)
    write_hdf5(root / 'ply_data_train0.h5', data[:3], np.uint8([[0], [1], [1]]))
    write_hdf5(root / 'ply_data_train1.h5', data[3:], np.uint8([[1], [0]]))
    (root / 'shape_names.txt').write_text('chair\nnight_stand\n')
    dataset = build('ModelNetHDF5', root, pipeline=PIPELINE[:1])
    assert dataset.gt_labels.tolist() == [0, 1, 1, 1, 0]
    assert dataset.get_data_info(3)['sample_id'] == 'ply_data_train1_0000'
    assert dataset.get_data_info(3)['gravity_axis'] == 'y'
    np.testing.assert_array_equal(dataset[3]['points'], data[3])
    first = dict(type='SamplePoints', num_points=32, method='first')
    head = build('ModelNetHDF5', root, pipeline=[PIPELINE[0], first])
    np.testing.assert_array_equal(head[0]['points'], data[0, :32])


@pytest.mark.parametrize(
    'data, label, message',
    [
        (np.full((2, 8, 3), np.nan), [0, 1], 'NaN or infinite'),
        (np.zeros((2, 8, 3)), [0, 7], 'labels from 0 to 7'),
        (np.zeros((2, 8, 3)), [0, 1, 1], 'n labels'),
        (np.zeros((2, 8)), [0, 1], 'expected data'),
        (np.zeros((2, 8, 2)), [0, 1], 'expected data'),
        (np.zeros((2, 0, 3)), [0, 1], 'empty clouds'),
    ],
)
def test_hdf5_bad_content(tmp_path, data, label, message):
    write_hdf5(tmp_path / 'ply_data_train0.h5', data, np.int64(label))
    (tmp_path / 'shape_names.txt').write_text('chair\nnight_stand\n')
    with pytest.raises(SampleError, match=f'ply_data_train0.h5: .*{message}'):
        build('ModelNetHDF5', tmp_path)
