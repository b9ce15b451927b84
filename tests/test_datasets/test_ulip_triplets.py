from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from mm3dpretrain.datasets.ulip_triplets import ULIPTriplets


@pytest.fixture
def ulip_root(tmp_path):
    """A table with two pictures, a plane with none, one table that the taxonomy names twice."""
    root = tmp_path / 'shapenet-55'
    (root / 'shapenet_pc').mkdir(parents=True)
    names = ['04379243-a-b', '02691156-c', '04379243-d']
    for seed, name in enumerate(names):
        cloud = np.random.default_rng(seed).uniform(-0.5, 0.5, (64, 3)).astype(np.float32)
        np.save(root / 'shapenet_pc' / f'{name}.npy', cloud)
    (root / 'train.txt').write_text('\n'.join(f'{name}.npy' for name in names) + '\n')
    (root / 'test.txt').write_text(f'{names[1]}.npy\n')
    for name in (names[0], names[2]):
        folder = root / 'rendered_images' / name
        folder.mkdir(parents=True)
        for view, angle in enumerate(('000', '012')):
            picture = Image.fromarray(np.full((8, 8, 3), 50 + view, np.uint8))
            picture.save(folder / f'{name}_r_{angle}.png')
            picture.save(folder / f'{name}_r_{angle}_depth0001.png')
    taxonomy = [
        dict(synsetId='02691156', name='airplane,aeroplane,plane', children=[]),
        dict(synsetId='04379243', name='table, desk', children=[]),
    ]
    (root / 'taxonomy.json').write_text(json.dumps(taxonomy))
    return root


def build(root, **kwargs):
    return ULIPTriplets(str(root), expected_count=None, **kwargs)


def test_triplets(ulip_root):
    pipeline = [dict(type='LoadPoints'), dict(type='LoadView', which=1)]
    dataset = build(ulip_root, pipeline=pipeline)
    assert len(dataset) == 2
    sample = dataset[0]
    assert sample['sample_id'] == '04379243-a-b' and sample['model_id'] == 'a-b'
    assert sample['caption'] == ['table', 'desk']
    assert sample['points'].shape == (64, 3)
    # the second colour picture, not the depth picture of the first
    assert (sample['img'] == 51).all() and len(sample['img_paths']) == 2
    assert dataset.metainfo['classes'] == ('airplane', 'table')


def test_samples_without_pictures_can_stay(ulip_root):
    dataset = build(ulip_root, images='optional')
    assert len(dataset) == 3
    assert dataset[1]['caption'] == ['airplane', 'aeroplane', 'plane']
    assert dataset[1]['img_paths'] == []
    assert len(build(ulip_root, images='none', whole=True)) == 4


def test_captions_of_samples_count_more(ulip_root):
    (ulip_root / 'captions.json').write_text(json.dumps({'04379243-d': ['a low table']}))
    dataset = build(ulip_root)
    assert dataset[1]['caption'] == ['a low table']
    assert dataset[0]['caption'] == ['table', 'desk']


def test_without_taxonomy_the_known_names_serve(ulip_root):
    (ulip_root / 'taxonomy.json').unlink()
    assert build(ulip_root)[0]['caption'] == ['table']


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match='(?s)ULIPTriplets.*ULIP project.*docs/datasets.md'):
        ULIPTriplets(str(tmp_path / 'nowhere'))
