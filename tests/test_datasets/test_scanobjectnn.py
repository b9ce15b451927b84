"""ScanObjectNN's three variants."""

from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.scanobjectnn import CLASSES
from mm3dpretrain.registry import DATASETS

FILES = {
    'obj_bg': 'main_split/{}_objectdataset.h5',
    'obj_only': 'main_split_nobg/{}_objectdataset.h5',
    'pb_t50_rs': 'main_split/{}_objectdataset_augmentedrot_scale75.h5',
}


@pytest.fixture
def scan_root(tmp_path):
    h5py = pytest.importorskip('h5py')
    for number, name in enumerate(FILES.values()):
        for split, count in (('training', 3), ('test', 2)):
            path = tmp_path / name.format(split)
            path.parent.mkdir(exist_ok=True)
            with h5py.File(path, 'w') as file:
                file['data'] = np.random.rand(count, 64, 3).astype(np.float32) + number
                file['label'] = np.arange(count) + 12
                file['mask'] = np.zeros((count, 64))
    return tmp_path


def build(root, **kwargs):
    kwargs = {
        'expected_count': None,
        'serialize_data': False,
        'pipeline': [dict(type='LoadPoints')],
        **kwargs,
    }
    return DATASETS.build(dict(type='ScanObjectNN', data_root=str(root), **kwargs))


@pytest.mark.parametrize('number, variant', enumerate(FILES))
def test_variants(scan_root, number, variant):
    dataset = build(scan_root, variant=variant)
    assert len(dataset) == 3
    assert len(build(scan_root, variant=variant, split='test')) == 2
    item = dataset[2]
    assert item['points'].shape == (64, 3)
    assert number <= item['points'].min() and item['points'].max() <= number + 1
    assert item['gt_label'] == 14 and item['synset'] == 'toilet'
    assert item['gravity_axis'] == 'y'
    assert dataset.metainfo['classes'] == CLASSES and len(CLASSES) == 15


def test_refusals(scan_root, tmp_path):
    with pytest.raises(ValueError, match='variant must be one of'):
        build(scan_root, variant='hardest')
    with pytest.raises(ValueError, match='split'):
        build(scan_root, split='val')
    with pytest.raises(FileNotFoundError, match='(?s)Get it from.*main_split'):
        build(tmp_path / 'nowhere')
    path = scan_root / FILES['obj_bg'].format('training')
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SampleError, match='training_objectdataset.h5'):
        build(scan_root, variant='obj_bg')


def test_missing_key(scan_root):
    h5py = pytest.importorskip('h5py')
    with h5py.File(scan_root / FILES['obj_bg'].format('training'), 'a') as file:
        del file['label']
    with pytest.raises(SampleError, match="no array 'label'"):
        build(scan_root, variant='obj_bg')
