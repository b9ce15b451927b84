"""A user's own meshes and clouds."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.registry import DATASETS

PIPELINE = [dict(type='LoadPoints'), dict(type='SamplePoints', num_points=50)]


def build(root, **kwargs):
    kwargs = {'pipeline': PIPELINE, 'cache_dir': None, 'serialize_data': False, **kwargs}
    return DATASETS.build(dict(type='UserFolder', data_root=str(root), **kwargs))


@pytest.fixture
def folder(tmp_path, off_cube):
    root = tmp_path / 'mine'
    points = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    (root / 'tools' / 'old').mkdir(parents=True)
    (root / 'toys').mkdir()
    (root / 'tools' / 'hammer.off').write_text(off_cube)
    np.save(root / 'tools' / 'old' / 'saw.npy', points)
    np.savetxt(root / 'toys' / 'duck.XYZ', points)
    np.savez(root / 'toys' / 'ball.npz', points=points)
    (root / 'toys' / '.hidden.off').write_text('')
    (root / 'toys' / 'notes.md').write_text('')
    return root


def test_classes_are_subfolders(folder):
    (folder / 'captions.json').write_text(json.dumps({'toys/duck': ['a rubber duck']}))
    dataset = build(folder, gravity_axis='z')
    names = [dataset.get_data_info(i)['sample_id'] for i in range(len(dataset))]
    assert names == ['tools/hammer', 'tools/old/saw', 'toys/ball', 'toys/duck']
    assert dataset.metainfo['classes'] == ('tools', 'toys')
    assert dataset.gt_labels.tolist() == [0, 0, 1, 1]
    for index in range(4):
        assert dataset[index]['points'].shape == (50, 3)
        assert dataset[index]['gravity_axis'] == 'z'
    assert dataset[3]['caption'] == ['a rubber duck']


def test_frame_is_no_file_name(folder, tmp_path, monkeypatch):
    # MMEngine reads texts of the meta information from files where there are some
    (tmp_path / 'cwd').mkdir()
    monkeypatch.chdir(tmp_path / 'cwd')
    (tmp_path / 'cwd' / 'z').write_text('not an axis')
    dataset = build(folder, gravity_axis='z')
    assert dataset.metainfo['gravity_axis'] == 'z'
    assert dataset.get_data_info(0)['gravity_axis'] == 'z'


def test_extra_columns(folder):
    load = dict(type='LoadPoints', attributes=('normal',))
    dataset = build(
        folder, pipeline=[load], suffixes=['.npy', '.xyz'], extra_columns=dict(normal=(3, 6))
    )
    assert len(dataset) == 2
    stored = np.load(folder / 'tools' / 'old' / 'saw.npy')
    np.testing.assert_array_equal(dataset[0]['points'], stored)


def test_loose_files_have_no_class(tmp_path, off_cube, folder):
    root = tmp_path / 'loose'
    root.mkdir()
    (root / 'a.off').write_text(off_cube)
    dataset = build(root)
    assert dataset.gt_labels.tolist() == [-1]
    assert 'classes' not in dataset.metainfo
    (folder / 'loose.off').write_text(off_cube)
    with pytest.raises(ValueError, match='without a class such as loose.off'):
        build(folder)


def test_split_is_stable(tmp_path):
    root = tmp_path / 'many'
    root.mkdir()
    for i in range(60):
        np.save(root / f'{i}.npy', np.zeros((5, 3)))

    def ids(split):
        dataset = build(root, split=split, val_fraction=0.25)
        return {dataset.get_data_info(i)['sample_id'] for i in range(len(dataset))}

    train, val = ids('train'), ids('val')
    assert not train & val and len(train | val) == 60
    assert 5 < len(val) < 30
    np.save(root / 'new.npy', np.zeros((5, 3)))
    assert val <= ids('val') and train <= ids('train')


def test_images(folder):
    views = folder / 'views'
    (views / 'toys' / 'duck').mkdir(parents=True)
    Image.new('RGB', (8, 8), (1, 2, 3)).save(views / 'toys' / 'duck' / 'front.png')
    np.savez(views / 'toys' / 'duck' / 'cameras.npz', extrinsics=np.eye(4)[None])
    kwargs = dict(image_dir=str(views), pipeline=[*PIPELINE, dict(type='LoadView')])
    # the folder of the views is not taken for data, though it lies inside
    assert len(build(folder, images='optional', **kwargs)) == 4
    dataset = build(folder, images='required', **kwargs)
    assert len(dataset) == 1
    with pytest.raises(SampleError, match='cameras.npz.*intrinsics|cameras.npz'):
        dataset[0]
    os.remove(views / 'toys' / 'duck' / 'cameras.npz')
    dataset = build(folder, images='required', **kwargs)
    assert dataset[0]['img'][0, 0].tolist() == [1, 2, 3]


def test_broken_files(folder):
    (folder / 'toys' / 'duck.XYZ').write_text('1 2\n')
    dataset = build(folder)
    with pytest.raises(SampleError, match='duck.XYZ'):
        dataset[3]
    small = build(folder, pipeline=[PIPELINE[0], dict(type='SamplePoints', num_points=100)])
    with pytest.raises(SampleError, match='saw.npy.*100 points wanted, the cloud has 80'):
        small[1]


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(split='test'), 'split'),
        (dict(val_fraction=0), 'val_fraction'),
        (dict(suffixes=['.step']), 'cannot read'),
        (dict(images='required'), 'needs image_dir'),
        (dict(images='maybe'), 'images must be'),
        (dict(gravity_axis='up'), 'gravity_axis'),
        (dict(num_points=0), 'num_points'),
    ],
)
def test_refusals(folder, kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(folder, **kwargs)


def test_missing_or_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        build(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='no .* files below'):
        build(tmp_path)
