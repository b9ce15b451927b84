"""Few-shot data sets: ModelNet40's pickles, and folds of another set."""

import pickle

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.subsets import few_shot_fold
from mm3dpretrain.registry import DATASETS

PIPELINE = [
    dict(type='LoadPoints', attributes=['normal']),
    dict(type='SamplePoints', num_points=16),
    dict(type='PackTriplets'),
]


class Evil:
    def __reduce__(self):
        return (print, ('code of the pickle was run',))


@pytest.fixture
def modelnet_folds(tmp_path):
    """Two folds of a 5-way 2-shot task."""
    folder = tmp_path / '5way_2shot'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for fold in range(2):
        task = {
            split: [
                (rng.normal(size=(32, 6)).astype(np.float32), np.int64(label), f'{label}/{i}')
                for label in range(5)
                for i in range(count)
            ]
            for split, count in (('train', 2), ('test', 20))
        }
        (folder / f'{fold}.pkl').write_bytes(pickle.dumps(task))
    return tmp_path


def modelnet(root, **kwargs):
    options = dict(data_root=str(root), way=5, shot=2, pipeline=PIPELINE)
    return DATASETS.build(dict(type='ModelNetFewShot', **{**options, **kwargs}))


def test_modelnet_folds(modelnet_folds):
    train, test = modelnet(modelnet_folds), modelnet(modelnet_folds, split='test')
    assert len(train) == 10 and len(test) == 100
    assert np.bincount(train.gt_labels).tolist() == [2] * 5
    item = train[3]
    assert item['inputs']['points'].shape == (16, 6) and item['data_samples'].gt_label == 1
    other = modelnet(modelnet_folds, fold=1, pipeline=[])
    mine = modelnet(modelnet_folds, pipeline=[])
    assert not np.array_equal(other[0]['points'], mine[0]['points'])


def test_modelnet_pickles_cannot_run_code(modelnet_folds, capsys):
    path = modelnet_folds / '5way_2shot' / '0.pkl'
    path.write_bytes(pickle.dumps(dict(train=[Evil()], test=[])))
    with pytest.raises(SampleError, match='refused to load the pickle'):
        len(modelnet(modelnet_folds))
    assert 'was run' not in capsys.readouterr().out


@pytest.mark.parametrize(
    'content, message',
    [
        ([1, 2], 'expected a dict with the lists'),
        (dict(train=[3.0], test=[]), r'0.pkl\[train\]\[0\]: not \(points, label'),
        (dict(train=[(np.zeros((4, 3)), 5)], test=[]), 'label 5 in a 5-way task'),
        (dict(train=[(np.zeros((4, 2)), 0)], test=[]), 'a cloud must be'),
    ],
)
def test_broken_pickles_are_named(modelnet_folds, content, message):
    (modelnet_folds / '5way_2shot' / '0.pkl').write_bytes(pickle.dumps(content))
    with pytest.raises(SampleError, match=message):
        len(modelnet(modelnet_folds))


def test_modelnet_errors(modelnet_folds):
    with pytest.raises(FileNotFoundError, match='(?s)10way_2shot/0.pkl does not exist.*Point-BERT'):
        len(modelnet(modelnet_folds, way=10))
    with pytest.raises(ValueError, match='split'):
        modelnet(modelnet_folds, split='val')


@pytest.fixture
def source(modelnet_root):
    """Six meshes of two classes."""
    cache = str(modelnet_root.parent / 'cache')
    return dict(
        type='ModelNetOFF', data_root=str(modelnet_root), expected_count=None, num_points=32,
        cache_dir=cache,
    )  # fmt: skip


def fold_set(source, **kwargs):
    options = dict(way=2, shot=1, queries=1, pipeline=PIPELINE)
    return DATASETS.build(dict(type='FewShotFold', source=source, **{**options, **kwargs}))


def test_fold_of_another_set(source):
    plain = DATASETS.build(dict(source, pipeline=[]))
    names = [plain.get_data_info(i)['sample_id'] for i in range(len(plain))]
    expected = few_shot_fold(plain.gt_labels, names, 2, 1, 1, 3)
    for split, places in (('train', expected.support), ('test', expected.query)):
        dataset = fold_set(source, fold=3, split=split, test_mode=split == 'test')
        assert [dataset.get_data_info(i)['sample_id'] for i in range(2)] == [
            names[p[0]] for p in places
        ]
        assert dataset.gt_labels.tolist() == [0, 1]  # renumbered
        assert dataset[0]['inputs']['points'].shape == (16, 6)
        classes = plain.metainfo['classes']
        assert dataset.metainfo['classes'] == tuple(classes[c] for c in expected.classes)


def test_separate_queries_and_errors(source):
    query = dict(source, split='test')
    dataset = fold_set(source, query_source=query, shot=2, split='test')
    assert {dataset.get_data_info(i)['sample_id'][-4:] for i in range(2)} == {'0003'}
    with pytest.raises(ValueError, match='only 0 of 2 classes have enough'):
        len(fold_set(source, shot=2, queries=1))
    with pytest.raises(ValueError, match='split'):
        fold_set(source, split='val')


def test_real_shapes69(data_root, tmp_path):
    root = data_root / 'shapes69'
    common = dict(type='Shapes69', data_root=str(root), cache_dir=str(tmp_path))
    options = dict(
        query_source=dict(common, split='val'), way=5, shot=10, queries=5,
        pipeline=[dict(type='LoadPoints'), dict(type='PackTriplets')],
    )  # fmt: skip
    train = fold_set(dict(common, split='train'), **options)
    test = fold_set(dict(common, split='train'), split='test', **options)
    assert np.bincount(train.gt_labels).tolist() == [10] * 5
    assert np.bincount(test.gt_labels).tolist() == [5] * 5
    assert {train.get_data_info(0)['synset']} == {test.get_data_info(0)['synset']}
    assert train[0]['inputs']['points'].shape == (2048, 3)
