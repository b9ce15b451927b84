"""ShapeNet-55 in its real layout, tiny, and what all shape data sets share."""

from __future__ import annotations

import json
import logging
import pickle
import shutil

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image

from mm3dpretrain.datasets import SampleError, ShapeNet55
from mm3dpretrain.datasets.samplers import SeededIndex
from mm3dpretrain.datasets.shapenet55 import SHAPENET_NAMES
from mm3dpretrain.registry import DATASETS

PIPELINE = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=64),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
TRIPLETS = [PIPELINE[0], dict(type='LoadView'), *PIPELINE[1:]]


def build(root, **kwargs):
    kwargs = {'expected_count': None, 'serialize_data': False, 'pipeline': PIPELINE, **kwargs}
    return DATASETS.build(dict(type='ShapeNet55', data_root=str(root), **kwargs))


@pytest.fixture
def warnings_of(caplog):
    """Messages of MMEngine's loggers, which do not propagate to pytest's handler."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    logger.removeHandler(caplog.handler)


def test_records(shapenet_root):
    dataset = build(shapenet_root, images='optional')
    assert len(dataset) == 5
    info = dataset.get_data_info(0)
    # the name is split at the first hyphen only
    assert info['sample_id'] == '02691156-u0-part-b'
    assert (info['synset'], info['model_id']) == ('02691156', 'u0-part-b')
    assert info['gravity_axis'] == 'y' and info['normalization'] == 'unit_sphere'
    assert [p[-6:] for p in info['img_paths']] == ['00.png', '01.png', '02.png']
    assert info['camera_path'].endswith('cameras.npz')
    assert dataset.get_data_info(1)['camera_path'] is None
    assert dataset.get_data_info(4)['img_paths'] == []
    assert dataset.metainfo['classes'] == ('airplane', 'chair')
    assert dataset.gt_labels.tolist() == [0, 0, 0, 0, 1]
    assert dataset.get_cat_ids(4) == [1]


def test_splits(shapenet_root):
    assert len(build(shapenet_root, split='test')) == 2
    whole = build(shapenet_root, whole=True)
    assert len(whole) == 7
    # labels of train and test agree, though the test list has no plane
    assert build(shapenet_root, split='test').gt_labels.tolist() == [1, 1]
    with pytest.raises(FileNotFoundError, match=r"no list .*val.txt.*\['test', 'train'\]"):
        build(shapenet_root, split='val')


def test_required_images_intersect_the_ids(shapenet_root):
    dataset = build(shapenet_root, whole=True, images='required', pipeline=TRIPLETS)
    assert len(dataset) == 4
    assert set(dataset.gt_labels) == {0}
    item = dataset[0]
    assert item['inputs']['points'].shape == (64, 3)
    assert item['inputs']['img'].shape == (3, 16, 16)
    shutil.rmtree(shapenet_root / 'ShapeNetRendering')
    with pytest.raises(ValueError, match='none of 7 samples has pictures'):
        build(shapenet_root, whole=True, images='required')


def test_empty_rendering_folder_is_no_picture(shapenet_root):
    folder = shapenet_root / 'ShapeNetRendering' / '02691156' / 'u1-part-b' / 'rendering'
    for path in folder.iterdir():
        path.unlink()
    assert len(build(shapenet_root, images='required')) == 3


def test_ulip_layout(shapenet_root):
    folder = shapenet_root / 'rendered_images' / '03001627-u0-part-b'
    folder.mkdir(parents=True)
    for angle in (0, 12):
        name = f'03001627-u0-part-b_r_{angle:03d}'
        Image.new('RGB', (8, 8)).save(folder / f'{name}.png')
        Image.new('L', (8, 8)).save(folder / f'{name}_depth0001.png')
    dataset = build(
        shapenet_root,
        images='required',
        image_layout='ulip',
        data_prefix=dict(images='rendered_images'),
        pipeline=TRIPLETS,
    )
    assert len(dataset) == 1
    assert len(dataset.get_data_info(0)['img_paths']) == 2
    assert dataset[0]['inputs']['img'].shape == (3, 8, 8)


def test_taxonomy_captions_and_attributes(shapenet_root):
    taxonomy = [
        dict(synsetId='03001627', name='chair,seat', parts=['leg', 'back'], part_offset=0),
        dict(synsetId='02691156', name='airplane', parts=['wing'], part_offset=2),
    ]
    (shapenet_root / 'taxonomy.json').write_text(json.dumps(taxonomy))
    captions = {'02691156-u0-part-b': ['a plane', 'an aircraft']}
    (shapenet_root / 'captions.json').write_text(json.dumps(captions))
    folder = shapenet_root / 'shapenet_attributes'
    folder.mkdir()
    part = np.arange(256, dtype=np.int16)
    np.savez(
        folder / '02691156-u0-part-b.npz',
        rgb=np.full((256, 3), 51, np.uint8),
        normal=np.tile(np.float16([0, 1, 0]), (256, 1)),
        part=part,
    )
    load = dict(type='LoadPoints', attributes=('rgb', 'normal'), load_part=True)
    dataset = build(shapenet_root, pipeline=[load, *PIPELINE[1:]])
    assert dataset.metainfo['classes'] == ('chair', 'airplane')
    assert dataset.metainfo['part_names'] == ('chair/leg', 'chair/back', 'airplane/wing')
    assert dataset.metainfo['part_ids'] == {'chair': [0, 1], 'airplane': [2]}
    item = dataset[0]
    points, sample = item['inputs']['points'], item['data_samples']
    assert sample.caption == ['a plane', 'an aircraft']
    assert sample.gt_label.tolist() == [1]
    assert points.shape == (64, 9)
    assert sample.point_channels == ('x', 'y', 'z', 'r', 'g', 'b', 'nx', 'ny', 'nz')
    torch.testing.assert_close(points[:, 3:6], torch.full((64, 3), 0.2))
    assert sample.gt_part.shape == (64,)
    # the part follows its point
    stored = np.load(shapenet_root / 'ShapeNet55-34/shapenet_pc/02691156-u0-part-b.npy')
    transform = sample.point_transform
    moved = stored[sample.gt_part] @ transform[:3, :3].T + transform[:3, 3]
    np.testing.assert_allclose(points[:, :3].numpy(), moved, atol=1e-5)
    with pytest.raises(SampleError, match=r"has no 'normal|has no 'rgb|has no 'part"):
        dataset[1]


def test_missing_root_tells_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match='(?s)Get it from.*Expected layout.*shapenet_pc'):
        build(tmp_path)


def test_bad_lists_and_options(shapenet_root):
    with pytest.raises(ValueError, match='images must be one of'):
        build(shapenet_root, images='yes')
    with pytest.raises(ValueError, match='image_layout'):
        build(shapenet_root, image_layout='blender')
    with pytest.raises(ValueError, match='unknown data_prefix'):
        build(shapenet_root, data_prefix=dict(image='x'))
    with pytest.raises(ValueError, match='on_error'):
        build(shapenet_root, on_error='ignore')
    with pytest.raises(ValueError, match='sample_fraction'):
        build(shapenet_root, sample_fraction=0)
    path = shapenet_root / 'ShapeNet55-34' / 'ShapeNet-55' / 'train.txt'
    path.write_text('02691156-u0-part-b\n')
    with pytest.raises(ValueError, match='is not a name like'):
        build(shapenet_root)
    path.write_text('')
    with pytest.raises(ValueError, match='empty'):
        build(shapenet_root)


def test_count_is_checked(shapenet_root, warnings_of):
    build(shapenet_root, expected_count=5)
    assert warnings_of() == []
    build(shapenet_root, expected_count='auto')
    assert '5 samples listed' in warnings_of()[-1] and '41952 expected' in warnings_of()[-1]
    build(shapenet_root, expected_count='auto', whole=True)
    assert '52470 expected' in warnings_of()[-1]


def test_broken_sample_names_the_file(shapenet_root):
    path = shapenet_root / 'ShapeNet55-34' / 'shapenet_pc' / '02691156-u1-part-b.npy'
    path.write_bytes(path.read_bytes()[:200])
    dataset = build(shapenet_root)
    dataset[0]
    with pytest.raises(SampleError, match=r'02691156-u1-part-b.*number 1.*cannot read'):
        dataset[1]
    path.unlink()
    with pytest.raises(SampleError, match='02691156-u1-part-b.npy'):
        dataset[1]


def test_too_few_points_and_nan(shapenet_root):
    folder = shapenet_root / 'ShapeNet55-34' / 'shapenet_pc'
    np.save(folder / '02691156-u0-part-b.npy', np.random.rand(50, 3).astype(np.float32))
    np.save(folder / '02691156-u1-part-b.npy', np.full((256, 3), np.nan, np.float32))
    np.save(folder / '02691156-u2-part-b.npy', np.zeros((0, 3), np.float32))
    np.save(folder / '02691156-u3-part-b.npy', np.ones((256, 3), np.float32))
    dataset = build(shapenet_root)
    for index, message in enumerate(['has 50', 'NaN', 'empty cloud', 'coincide']):
        with pytest.raises(SampleError, match=f'u{index}-part-b.*{message}'):
            dataset[index]


def test_skip_replaces_broken_samples(shapenet_root, warnings_of):
    folder = shapenet_root / 'ShapeNet55-34' / 'shapenet_pc'
    (folder / '02691156-u1-part-b.npy').write_bytes(b'')
    dataset = build(shapenet_root, on_error='skip')
    item = dataset[1]
    assert item['data_samples'].model_id != 'u1-part-b'
    assert '02691156-u1-part-b.npy' in warnings_of()[-1]
    # replacing is bounded: when all are broken the training stops with the reason
    for path in folder.iterdir():
        path.write_bytes(b'')
    dataset = build(shapenet_root, on_error='skip', max_refetch=3)
    with pytest.raises(SampleError, match='4 broken samples in a row.*cannot read'):
        dataset[0]
    with pytest.raises(ValueError, match='test_mode'):
        build(shapenet_root, on_error='skip', test_mode=True)


def test_programming_errors_are_not_skipped(shapenet_root):
    def broken(results):
        raise TypeError('a bug')

    dataset = build(shapenet_root, on_error='skip', pipeline=[broken])
    with pytest.raises(TypeError, match='a bug'):
        dataset[0]


def test_fraction_and_indices(shapenet_root):
    half = build(shapenet_root, whole=True, sample_fraction=0.5)
    assert len(half) == 4
    names = [half.get_data_info(i)['sample_id'] for i in range(4)]
    assert names == sorted(names) and len(set(names)) == 4
    again = build(shapenet_root, whole=True, sample_fraction=0.5)
    assert names == [again.get_data_info(i)['sample_id'] for i in range(4)]
    other = [
        build(shapenet_root, whole=True, sample_fraction=0.5, sample_seed=s).get_data_info(0)
        for s in range(8)
    ]
    assert len({info['sample_id'] for info in other}) > 1
    assert len(build(shapenet_root, indices=[4, 0])) == 2
    with pytest.raises(ValueError, match='no samples'):
        build(shapenet_root, indices=[])


def test_items_are_repeatable_and_differ(shapenet_root):
    dataset = build(shapenet_root)
    first = dataset[SeededIndex(0, 5)]['inputs']['points']
    assert torch.equal(first, dataset[SeededIndex(0, 5)]['inputs']['points'])
    assert not torch.equal(first, dataset[SeededIndex(0, 6)]['inputs']['points'])


def test_records_are_serialised_and_the_set_is_picklable(shapenet_root):
    dataset = build(shapenet_root, serialize_data=True)
    assert dataset.data_list == [] and len(dataset.data_bytes) > 0
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.get_data_info(2) == dataset.get_data_info(2)
    plain = build(shapenet_root, serialize_data=False)
    assert plain.get_data_info(2) == dataset.get_data_info(2)


def test_worker_processes_give_the_same_batches(shapenet_root):
    dataset = build(shapenet_root, images='required', pipeline=TRIPLETS)
    batches = []
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(
            dataset,
            batch_size=2,
            sampler=[SeededIndex(i, 10 + i) for i in range(4)],
            num_workers=workers,
            collate_fn=default_collate,
        )
        batches.append(list(loader))
    for one, two in zip(*batches):
        assert one['inputs']['points'].shape == (2, 64, 3)
        assert torch.equal(one['inputs']['points'], two['inputs']['points'])
        assert torch.equal(one['inputs']['img'], two['inputs']['img'])
        assert [s.sample_id for s in one['data_samples']] == [
            s.sample_id for s in two['data_samples']
        ]


def test_names_of_shapenet():
    assert len(SHAPENET_NAMES) == 55 == len(set(SHAPENET_NAMES.values()))
    assert list(SHAPENET_NAMES) == sorted(SHAPENET_NAMES)
    assert SHAPENET_NAMES['03001627'] == 'chair'


def test_lazy_init(shapenet_root):
    dataset = ShapeNet55(data_root=str(shapenet_root), expected_count=None, lazy_init=True)
    assert not dataset._fully_initialized
    assert len(dataset) == 5
