"""ShapeNetPart in its published layout."""

import json

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError, ShapeNetPart
from mm3dpretrain.datasets.shapenetpart import PART_COUNTS, part_ids
from mm3dpretrain.registry import DATASETS

PIPELINE = [
    dict(type='LoadPoints', attributes=['normal'], load_part=True),
    dict(type='SamplePoints', num_points=64, allow_repeat=True),
    dict(type='PackTriplets'),
]


@pytest.fixture
def root(tmp_path):
    """Three chairs (train, val, test), one mug (train)."""
    root = tmp_path / 'parts'
    split = root / 'train_test_split'
    split.mkdir(parents=True)
    (root / 'synsetoffset2category.txt').write_text('Chair\t03001627\nMug\t03797390\n')
    names = dict(train=['03001627/a', '03797390/b'], val=['03001627/c'], test=['03001627/d'])
    rng = np.random.default_rng(0)
    for name, entries in names.items():
        file = split / f'shuffled_{name}_file_list.json'
        file.write_text(json.dumps([f'shape_data/{entry}' for entry in entries]))
        for entry in entries:
            rows = rng.normal(size=(50, 7))
            rows[:, 3:6] /= np.linalg.norm(rows[:, 3:6], axis=1, keepdims=True)
            rows[:, 6] = rng.integers(12, 16, 50) if entry[:8] == '03001627' else 36
            path = root / f'{entry}.txt'
            path.parent.mkdir(exist_ok=True)
            np.savetxt(path, rows, fmt='%.6f')
    return root


def build(root, **kwargs):
    kwargs = {'pipeline': PIPELINE, 'expected_count': None, **kwargs}
    cache = str(root.parent / 'cache')
    return DATASETS.build(dict(type='ShapeNetPart', data_root=str(root), cache_dir=cache, **kwargs))


def test_published_table():
    ids = part_ids()
    assert len(ids) == 16 and sum(PART_COUNTS.values()) == 50
    assert ids['Airplane'] == [0, 1, 2, 3] and ids['Table'] == [47, 48, 49]
    assert ids['Motorbike'] == list(range(30, 36)) and ids['Earphone'] == [16, 17, 18]
    assert len(ShapeNetPart.METAINFO['part_names']) == 50


def test_reads_points_normals_and_parts(root):
    for _ in range(2):  # the second time from the cache
        dataset = build(root, split='train')
        assert [dataset.get_data_info(i)['sample_id'] for i in range(2)] == [
            '03001627-a', '03797390-b',
        ]  # fmt: skip
        item = dataset[0]
        assert item['inputs']['points'].shape == (64, 6)
        sample = item['data_samples']
        assert sample.gt_label.item() == 4 and sample.gt_part.shape == (64,)
        assert set(sample.gt_part.tolist()) <= {12, 13, 14, 15}
        assert dataset[1]['data_samples'].gt_part.unique().tolist() == [36]
    raw = build(root, split='train', pipeline=PIPELINE[:1])[0]
    rows = np.loadtxt(root / '03001627' / 'a.txt')
    np.testing.assert_allclose(raw['points'], rows[:, :6], atol=1e-6)
    np.testing.assert_array_equal(raw['gt_part'], rows[:, 6])


def test_splits(root, caplog):
    sizes = {split: len(build(root, split=split)) for split in ('train', 'val', 'test', 'trainval')}
    assert sizes == dict(train=2, val=1, test=1, trainval=3)
    assert list(build(root).metainfo['part_ids']) == list(build(root).metainfo['classes'])
    with pytest.raises(ValueError, match='split must be one of'):
        build(root, split='all')


def test_broken_sets_are_named(root):
    (root / '03001627' / 'd.txt').write_text('1 2 3\n1 2\n')
    with pytest.raises(SampleError, match='03001627-d.*not a table'):
        build(root, split='test')[0]
    (root / 'synsetoffset2category.txt').write_text('Mug\t03797390\n')
    with pytest.raises(SampleError, match='no 03001627'):
        len(build(root, split='test'))
    (root / 'synsetoffset2category.txt').write_text('Boat\t03797390\n')
    with pytest.raises(SampleError, match="'Boat 03797390' is no line"):
        len(build(root))
    (root / 'train_test_split' / 'shuffled_val_file_list.json').write_text('[1')
    (root / 'synsetoffset2category.txt').write_text('Chair\t03001627\nMug\t03797390\n')
    with pytest.raises(SampleError, match='not a JSON list'):
        len(build(root))
    with pytest.raises(FileNotFoundError, match='(?s)does not exist.*partanno'):
        len(build(root.parent / 'nowhere'))
