from __future__ import annotations

import json
import random

import numpy as np
import pytest

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.datasets.openshape import OpenShapeTriplets, swap_yz
from mm3dpretrain.datasets.openshape_eval import (
    CLASSES,
    OpenShapeModelNet40,
    OpenShapeScanObjectNN,
    read_openshape_classes,
)

DIM = 4


def feature(value: float) -> np.ndarray:
    return np.full((1, DIM), value, np.float32)


def versions(value: float) -> dict:
    return dict(original=feature(value), prompt_avg=feature(value + 0.5))


def shape_data(seed: int, **changes) -> dict:
    """A file of OpenShape: features that tell by their value what they are."""
    rng = np.random.default_rng(seed)
    data = dict(
        dataset='Objaverse',
        group='000-001',
        id=f'u{seed}',
        xyz=rng.uniform(-1, 1, (64, 3)).astype(np.float32),
        rgb=rng.uniform(0, 1, (64, 3)).astype(np.float32),
        image_feat=np.arange(100, 112)[:, None] + np.zeros((12, DIM), np.float32),
        thumbnail_feat=feature(99)[0],
        text=['a cup', 'more'],
        text_feat=[versions(1), versions(2)],
        blip_caption='a blue cup',
        blip_caption_feat=versions(11),
        msft_caption='cup on a table',
        msft_caption_feat=versions(12),
        retrieval_text=['cup one', 'cup two', 'cup three'],
        retrieval_text_feat=[dict(original=feature(v)) for v in (21, 22, 23)],
    )
    data.update(changes)
    return data


@pytest.fixture
def openshape_root(tmp_path):
    """Objaverse u0 (everything), u1 (raw text flagged), u4 (file missing); ShapeNet s2; ABO a3."""
    root = tmp_path / 'openshape'
    files = {
        ('Objaverse', '000-001', 'u0'): shape_data(0),
        ('Objaverse', '000-001', 'u1'): shape_data(1, blip_caption='', blip_caption_feat={}),
        ('ShapeNet', '', 's2'): shape_data(2, dataset='ShapeNet'),
        ('ABO', '', 'a3'): shape_data(
            3, text=[], blip_caption='', msft_caption='', retrieval_text=[], rgb=np.ones((64, 3))
        ),
    }
    items = []
    for (source, group, uid), data in files.items():
        relative = f'{source}/{group}/{uid}.npy' if group else f'{source}/{uid}.npy'
        (root / relative).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / relative, data, allow_pickle=True)
        # the first one as in the published lists: absolute, on somebody else's machine
        path = f'/somewhere/else/{relative}' if uid == 'u0' else relative
        items.append(dict(dataset=source, group=group, id=uid, data_path=path))
    items.append(dict(dataset='Objaverse', group='x', id='u4', data_path='Objaverse/x/u4.npy'))
    meta = root / 'meta_data'
    (meta / 'split' / 'ablation').mkdir(parents=True)
    (meta / 'split' / 'train_all.json').write_text(json.dumps(items))
    (meta / 'split' / 'ablation' / 'train_shapenet_only.json').write_text(json.dumps(items[2:3]))
    lvis = [
        dict(uid='u1', group='000-001', category='mug', data_path='Objaverse/000-001/u1.npy'),
        dict(uid='u0', group='000-001', category='cup', data_path='Objaverse/000-001/u0.npy'),
    ]
    (meta / 'split' / 'lvis.json').write_text(json.dumps(lvis))
    flags = {uid: dict(flag='N' if uid == 'u1' else 'Y') for uid in ('u0', 'u1')}
    (meta / 'gpt4_filtering.json').write_text(json.dumps(flags))
    return root


def test_records(openshape_root):
    dataset = OpenShapeTriplets(str(openshape_root))
    assert len(dataset) == 4
    assert dataset.missing_files == ['Objaverse/x/u4.npy']
    sample = dataset[0]
    assert sample['sample_id'] == 'Objaverse/u0'
    assert sample['gravity_axis'] == 'z'
    assert sample['points'].shape == (64, 6) and sample['points'].dtype == np.float32
    data = shape_data(0)
    np.testing.assert_array_equal(sample['points'][:, :3], data['xyz'][:, [0, 2, 1]])
    np.testing.assert_array_equal(sample['points'][:, 3:], data['rgb'])
    assert sample['image_features'][:, 0].tolist() == list(range(99, 112))
    assert sample['caption'] == ['a cup', 'a blue cup', 'cup on a table'] + data['retrieval_text']
    # prompts are averaged except for retrieved texts
    assert sample['text_features'][:, 0].tolist() == [1.5, 11.5, 12.5, 21, 22, 23]
    original = OpenShapeTriplets(str(openshape_root), prompt_average=False)[0]
    assert original['text_features'][:, 0].tolist() == [1, 11, 12, 21, 22, 23]


def test_flagged_text_and_thumbnail(openshape_root):
    dataset = OpenShapeTriplets(str(openshape_root))
    assert 'a cup' not in dataset[1]['caption']
    assert 'a cup' in OpenShapeTriplets(str(openshape_root), text_filter=False)[1]['caption']
    shapenet = dataset[2]
    assert shapenet['image_features'][:, 0].tolist() == list(range(100, 112))
    np.testing.assert_allclose(shapenet['image_weights'], 1 / 12)
    assert shapenet['caption'][:2] == ['a cup', 'more']


def test_samples_without_text_are_kept(openshape_root):
    sample = OpenShapeTriplets(str(openshape_root))[3]
    assert sample['caption'] == []
    assert 'text_features' not in sample and len(sample['image_features']) == 12


def naive_draw(data: dict, source: str, flag: str) -> float | None:
    """OpenShape's choice of a text, told step by step."""
    found = []
    if source == 'Objaverse':
        if flag != 'N':
            found.append(data['text_feat'][0]['prompt_avg'])
    else:
        found.append(random.choice(data['text_feat'])['prompt_avg'])
    name = 'blip_caption' if random.random() < 0.5 else 'msft_caption'
    if data[name]:
        found.append(data[f'{name}_feat']['prompt_avg'])
    if data['retrieval_text']:
        found.append(random.choice(data['retrieval_text_feat'])['original'])
    return float(random.choice(found)[0, 0]) if found else None


@pytest.mark.parametrize(
    'index, source, flag', [(0, 'Objaverse', 'Y'), (1, 'Objaverse', 'N'), (2, 'ShapeNet', 'Y')]
)
def test_text_weights_are_those_of_the_published_draw(openshape_root, index, source, flag):
    sample = OpenShapeTriplets(str(openshape_root))[index]
    changes = dict(blip_caption='', blip_caption_feat={}) if index == 1 else {}
    data = shape_data(index, **changes)
    random.seed(0)
    count = 20000
    drawn = [naive_draw(data, source, flag) for _ in range(count)]
    values = sample['text_features'][:, 0].tolist()
    share = np.array([drawn.count(v) / count for v in values])
    assert share.sum() == pytest.approx(1)
    np.testing.assert_allclose(sample['text_weights'], share, atol=0.015)
    assert sample['text_weights'].sum() == pytest.approx(1, abs=1e-6)


def test_image_weights(openshape_root):
    weights = OpenShapeTriplets(str(openshape_root))[0]['image_weights']
    np.testing.assert_allclose(weights, [0.5] + [0.5 / 12] * 12, rtol=1e-6)


def test_a_single_caption_takes_all(openshape_root):
    path = openshape_root / 'ABO' / 'a3.npy'
    np.save(path, shape_data(3, text=[], msft_caption='', retrieval_text=[]), allow_pickle=True)
    sample = OpenShapeTriplets(str(openshape_root))[3]
    assert sample['caption'] == ['a blue cup']
    assert sample['text_weights'].tolist() == [1]


def test_text_sources(openshape_root):
    dataset = OpenShapeTriplets(str(openshape_root), text_sources=('caption',))
    assert dataset[0]['caption'] == ['a blue cup', 'cup on a table']
    assert dataset[0]['text_weights'].tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match='titles'):
        OpenShapeTriplets(str(openshape_root), text_sources=('titles',))


def test_splits(openshape_root):
    only = OpenShapeTriplets(str(openshape_root), split='train_shapenet_only')
    assert [only.get_data_info(0)['sample_id'], len(only)] == ['ShapeNet/s2', 1]
    lvis = OpenShapeTriplets(str(openshape_root), split='lvis', test_mode=True)
    assert lvis.metainfo['classes'] == ('cup', 'mug')
    assert lvis.gt_labels.tolist() == [1, 0]
    with pytest.raises(FileNotFoundError, match='(?s)train_most.*Get it from.*docs/datasets.md'):
        OpenShapeTriplets(str(openshape_root), split='train_most')


def test_broken_sample_is_named_or_skipped(openshape_root, caplog):
    path = openshape_root / 'ShapeNet' / 's2.npy'
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(SampleError, match=r's2\.npy'):
        OpenShapeTriplets(str(openshape_root))[2]
    skipping = OpenShapeTriplets(str(openshape_root), on_error='skip')
    assert skipping[2]['sample_id'] != 'ShapeNet/s2'


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(rgb=np.full((64, 3), 200.0)), 'colours from 200'),
        (dict(rgb=np.ones((60, 3))), '60, 3'),
        (dict(image_feat=np.full((12, DIM), np.nan, np.float32)), 'NaN'),
        (dict(text_feat=[]), '1 entries'),
        (dict(blip_caption_feat={}), 'prompt_avg'),
        (dict(xyz=np.zeros((0, 3))), 'empty'),
    ],
)
def test_wrong_content(openshape_root, changes, message):
    np.save(openshape_root / 'Objaverse/000-001/u0.npy', shape_data(0, **changes))
    with pytest.raises(SampleError, match=message):
        OpenShapeTriplets(str(openshape_root))[0]


class Evil:
    def __reduce__(self):
        return print, ('run',)


def test_code_in_a_file_is_refused(openshape_root, capsys):
    np.save(openshape_root / 'Objaverse/000-001/u0.npy', dict(xyz=Evil()), allow_pickle=True)
    with pytest.raises(SampleError, match='refused'):
        OpenShapeTriplets(str(openshape_root))[0]
    assert capsys.readouterr().out == ''


def test_all_files_missing(openshape_root):
    with pytest.raises(FileNotFoundError, match='5 of 5'):
        OpenShapeTriplets(str(openshape_root), data_prefix=dict(points='nowhere'))


def test_gravity_can_stay(openshape_root):
    dataset = OpenShapeTriplets(str(openshape_root), swap_gravity=False)
    sample = dataset[0]
    np.testing.assert_array_equal(sample['points'][:, :3], shape_data(0)['xyz'])
    assert sample['gravity_axis'] == 'y'


def test_swap_yz_is_its_own_inverse():
    points = np.random.default_rng(0).normal(size=(5, 6))
    np.testing.assert_array_equal(swap_yz(swap_yz(points)), points)
    assert np.linalg.det(swap_yz(np.eye(3))) == pytest.approx(-1)


# --------------------------------------------------------------------------- evaluation sets


@pytest.fixture
def meta_root(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / 'modelnet40'
    folder.mkdir()
    items = [dict(name=f's{i}', category=c) for i, c in enumerate(('sofa', 'bed', 'sofa'))]
    (folder / 'test_split.json').write_text(json.dumps(items))
    clouds = np.empty(3, object)
    for i in range(3):
        clouds[i] = dict(
            xyz=rng.normal(size=(20, 3)).astype(np.float32), rgb=np.full((20, 3), 100, np.uint8)
        )
    np.save(folder / 'test_pc.npy', clouds, allow_pickle=True)
    features = {n: dict(open_clip_text_feat=rng.normal(size=(1, DIM))) for n in ('sofa', 'bed')}
    np.save(folder / 'cat_name_pt_feat.npy', features, allow_pickle=True)
    (tmp_path / 'scanobjectnn').mkdir()
    scans = dict(xyz=rng.normal(size=(2, 20, 3)), label=np.array([4, 0]))
    np.save(tmp_path / 'scanobjectnn' / 'xyz_label.npy', scans, allow_pickle=True)
    return tmp_path


LOAD = [dict(type='LoadPoints', attributes=['rgb'])]


def test_modelnet40(meta_root):
    dataset = OpenShapeModelNet40(str(meta_root), pipeline=LOAD, test_mode=True)
    assert dataset.metainfo['classes'] == ('bed', 'sofa')
    assert dataset.gt_labels.tolist() == [1, 0, 1]
    sample = dataset[0]
    assert sample['point_channels'] == ('x', 'y', 'z', 'r', 'g', 'b')
    np.testing.assert_allclose(sample['points'][:, 3:], 100 / 255, rtol=1e-6)
    stored = np.load(meta_root / 'modelnet40/test_pc.npy', allow_pickle=True)[0]['xyz']
    np.testing.assert_array_equal(sample['points'][:, :3], stored[:, [0, 2, 1]])
    (meta_root / 'modelnet40/test_split.json').write_text('[]')
    with pytest.raises(SampleError, match='3 clouds'):
        OpenShapeModelNet40(str(meta_root))


def test_scanobjectnn(meta_root):
    dataset = OpenShapeScanObjectNN(str(meta_root), pipeline=LOAD, test_mode=True)
    assert dataset.metainfo['classes'][4] == 'chair'
    assert dataset.gt_labels.tolist() == [4, 0]
    np.testing.assert_allclose(dataset[0]['points'][:, 3:], 0.4, rtol=1e-6)
    scans = dict(xyz=np.ones((2, 20, 3)), label=np.array([4, 15]))
    np.save(meta_root / 'scanobjectnn' / 'xyz_label.npy', scans, allow_pickle=True)
    with pytest.raises(SampleError, match='label 15'):
        OpenShapeScanObjectNN(str(meta_root))


def test_evaluation_sets_that_are_missing(tmp_path):
    for cls in (OpenShapeModelNet40, OpenShapeScanObjectNN):
        with pytest.raises(FileNotFoundError, match='(?s)Get it from.*docs/datasets.md'):
            cls(str(tmp_path))
    with pytest.raises(ValueError, match='train'):
        OpenShapeModelNet40(str(tmp_path), split='train')


def test_class_features(meta_root):
    path = meta_root / 'modelnet40' / 'cat_name_pt_feat.npy'
    stored = np.load(path, allow_pickle=True).item()
    value = read_openshape_classes(path, ('bed', 'sofa'))
    wanted = stored['sofa']['open_clip_text_feat'][0]
    np.testing.assert_allclose(value.embeddings[1], wanted / np.linalg.norm(wanted), rtol=1e-5)
    assert read_openshape_classes(path).names == ('sofa', 'bed')
    array = meta_root / 'lvis_cat_name_pt_feat.npy'
    np.save(array, np.random.default_rng(0).normal(size=(2, DIM)).astype(np.float32))
    assert read_openshape_classes(array, ('a', 'b')).names == ('a', 'b')
    with pytest.raises(ValueError, match='without names'):
        read_openshape_classes(array)
    with pytest.raises(ValueError, match='3 names'):
        read_openshape_classes(array, ('a', 'b', 'c'))
    np.save(array, dict(sofa=3), allow_pickle=True)
    with pytest.raises(SampleError, match='open_clip_text_feat'):
        read_openshape_classes(array)


def test_order_of_scanobjectnn_is_openshapes():
    assert CLASSES == (
        'bag', 'bin', 'box', 'cabinet', 'chair', 'desk', 'display', 'door',
        'shelf', 'table', 'bed', 'pillow', 'sink', 'sofa', 'toilet',
    )  # fmt: skip
