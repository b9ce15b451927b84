"""Packed sets: a tiny one written here, and the real ones where they are."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from mm3dpretrain.datasets import Cc0Objects, SampleError
from mm3dpretrain.datasets.view_rendering import DEFAULT_VIEWS, PackedMeshes, view_cameras
from mm3dpretrain.registry import DATASETS

PIPELINE = [
    dict(type='LoadPoints'),
    dict(type='LoadView'),
    dict(type='SamplePoints', num_points=64),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
VIEWS = dict(num_views=2, image_size=16)


def build(kind, root, cache, **kwargs):
    kwargs = {'pipeline': PIPELINE, 'cache_dir': str(cache), 'serialize_data': False, **kwargs}
    return DATASETS.build(dict(type=kind, data_root=str(root), **kwargs))


def test_tiny_set(packed_root, tmp_path):
    cache = tmp_path / 'cache'
    load = dict(type='LoadPoints', attributes=('rgb', 'normal'))
    dataset = build(
        'Cc0Objects', packed_root, cache, split='all', views=VIEWS, num_points=100,
        pipeline=[load, *PIPELINE[1:]], num_workers=1,
    )  # fmt: skip
    assert len(dataset) == 12
    item = dataset[5]
    assert item['inputs']['points'].shape == (64, 9)
    torch.testing.assert_close(
        item['inputs']['points'][:, 3:6], torch.tensor([1.0, 0, 0]).expand(64, 3)
    )
    assert item['inputs']['img'].shape == (3, 16, 16)
    assert item['data_samples'].caption == ['thing 2']
    assert item['data_samples'].cameras.num_views == 1
    assert 'gt_label' not in item['data_samples']
    # the picture shows red on white
    pixels = item['inputs']['img'].permute(1, 2, 0).reshape(-1, 3)
    assert (pixels == 255).all(1).any()
    assert (pixels[:, 0] > pixels[:, 1].int() + 50).any()


def test_points_project_into_the_picture(packed_root, tmp_path):
    dataset = build(
        'Cc0Objects', packed_root, tmp_path, split='all', views=dict(num_views=2, image_size=64),
        pipeline=[dict(type='LoadPoints'), dict(type='LoadView', num_views=2)], num_workers=1,
    )  # fmt: skip
    item = dataset[0]
    uv, depth = item['cameras'].project(torch.from_numpy(item['points'])[None])
    assert (depth > 0).all()
    pixels = uv[0].long().numpy()
    covered = (item['img'] < 250).any(-1)
    for view in range(2):
        hit = covered[view][pixels[view, :, 1], pixels[view, :, 0]]
        assert hit.mean() > 0.95


def test_split_keeps_variants_together(packed_root, tmp_path):
    def captions(split):
        dataset = build(
            'Cc0Objects', packed_root, tmp_path, split=split, num_points=10, val_fraction=0.4
        )
        return [dataset.get_data_info(i)['caption'][0] for i in range(len(dataset))]

    train, val = captions('train'), captions('val')
    assert len(train) + len(val) == 12 and train and val
    assert not set(train) & set(val)


def test_cache_is_used_and_keyed_by_parameters(packed_root, tmp_path):
    def make(**kwargs):
        kwargs = {'split': 'all', 'num_points': 10, 'views': VIEWS, 'num_workers': 1, **kwargs}
        return build('Cc0Objects', packed_root, tmp_path / 'cache', **kwargs)

    def folders():
        return {p.name for p in (tmp_path / 'cache').iterdir() if p.is_dir()}

    first = make()
    assert len(folders()) == 2
    points = first.get_data_info(0)['points_path']
    before = np.load(points)
    again = make()
    assert len(folders()) == 2 and again.get_data_info(0)['points_path'] == points
    make(num_points=11)
    assert len(folders()) == 3
    make(views={**VIEWS, 'fov': 40.0})
    assert len(folders()) == 4
    make(indices=3)
    assert len(folders()) == 6
    # the same points whatever the subset
    few = make(indices=3)
    np.testing.assert_array_equal(np.load(few.get_data_info(2)['points_path'])[2], before[2])


def test_processes_give_the_same_pictures(packed_root, tmp_path):
    rows = []
    for workers in (1, 2):
        dataset = build(
            'Cc0Objects', packed_root, tmp_path / str(workers), split='all', views=VIEWS,
            num_points=10, num_workers=workers,
        )  # fmt: skip
        rows.append(np.load(dataset.get_data_info(0)['views_path']))
    np.testing.assert_array_equal(*rows)


def test_broken_mesh_stops_and_leaves_no_cache(packed_root, tmp_path):
    with np.load(packed_root / 'meshes.npz') as arrays:
        arrays = dict(arrays)
    arrays['faces'] = arrays['faces'].copy()
    arrays['faces'][4 * 7] = (0, 1, 9)
    np.savez(packed_root / 'meshes.npz', **arrays)
    for workers in (1, 2):
        with pytest.raises(SampleError, match=r'meshes.npz\[7\]: face 0'):
            build('Cc0Objects', packed_root, tmp_path / 'cache', split='all', num_workers=workers)
    assert not [p for p in (tmp_path / 'cache').iterdir() if p.is_dir()]
    views = tmp_path / 'views'
    views.mkdir()
    from mm3dpretrain.datasets.view_rendering import complete_views, render_views

    for workers in (1, 2):
        with pytest.raises(SampleError, match=r'meshes.npz\[7\]'):
            render_views(
                views, packed_root / 'meshes.npz', range(12), complete_views(VIEWS), workers
            )


def test_broken_files(packed_root, tmp_path):
    content = (packed_root / 'meshes.npz').read_bytes()
    (packed_root / 'meshes.npz').write_bytes(content[: len(content) // 2])
    with pytest.raises(SampleError, match='meshes.npz'):
        build('Cc0Objects', packed_root, tmp_path)
    (packed_root / 'meshes.npz').unlink()
    with pytest.raises(FileNotFoundError, match='(?s)meshes.npz does not exist.*MM3D_DATA'):
        build('Cc0Objects', packed_root, tmp_path)
    np.savez(packed_root / 'meshes.npz', verts=np.zeros((3, 3)))
    with pytest.raises(SampleError, match="no array 'faces'"):
        build('Cc0Objects', packed_root, tmp_path)
    (packed_root / 'meta.json').write_text('{"pack": [')
    with pytest.raises(SampleError, match='meta.json: not a JSON file'):
        build('Cc0Objects', packed_root, tmp_path)


@pytest.mark.parametrize(
    'kwargs, message',
    [
        (dict(split='test'), 'split must be one of'),
        (dict(views=dict(size=3)), 'unknown views entries'),
        (dict(views=dict(num_views=3)), 'multiple of the 2 elevations'),
        (dict(num_points=0), 'num_points'),
        (dict(val_fraction=1.5), 'val_fraction'),
    ],
)
def test_bad_options(packed_root, tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        build('Cc0Objects', packed_root, tmp_path, **kwargs)


def test_view_cameras():
    cameras = view_cameras(**{
        key: DEFAULT_VIEWS[key]
        for key in ('num_views', 'image_size', 'elevations', 'distance', 'fov')
    })  # fmt: skip
    assert cameras.num_views == 12
    centers = cameras.centers[0]
    torch.testing.assert_close(centers.norm(dim=1), torch.full((12,), 2.8))
    assert len({tuple(c) for c in centers.round(decimals=3).tolist()}) == 12
    # the unit sphere is inside every picture
    sphere = torch.nn.functional.normalize(torch.randn(1, 500, 3), dim=-1)
    uv, _ = cameras.project(sphere)
    assert uv.min() > 0 and uv.max() < 64


# ---------------------------------------------------------------- the real sets


def test_real_cc0_objects(data_root, tmp_path):
    dataset = build(
        'Cc0Objects', data_root / 'cc0_objects', tmp_path, indices=8, views=VIEWS, num_points=1024
    )
    assert len(dataset) == 8
    for i in range(8):
        item = dataset[i]
        assert item['inputs']['points'].shape == (64, 3)
        pixels = item['inputs']['img'].float()
        assert pixels.std() > 5
        assert item['data_samples'].caption[0]
    stored = np.load(dataset.get_data_info(0)['points_path'])
    assert stored.shape == (8, 1024, 3) and np.abs(stored).max() <= 1.01


def test_real_cc0_split(data_root):
    root = data_root / 'cc0_objects'
    meta = json.loads((root / 'meta.json').read_text())
    parts = {}
    for split in ('train', 'val', 'all'):
        dataset = Cc0Objects(str(root), split=split, lazy_init=True)
        parts[split] = dataset.load_data_list()
    assert len(parts['all']) == 1936 == len(meta['name'])
    assert len(parts['train']) + len(parts['val']) == 1936
    assert 100 < len(parts['val']) < 300
    groups = [{(r['synset'], r['caption'][0]) for r in parts[s]} for s in ('train', 'val')]
    assert not groups[0] & groups[1]


def test_real_shapes69(data_root, tmp_path):
    root = data_root / 'shapes69'
    dataset = build('Shapes69', root, tmp_path, indices=8, views=VIEWS)
    assert dataset.metainfo['classes'][3] == 'Bed' and len(dataset.metainfo['classes']) == 69
    item = dataset[2]
    assert item['inputs']['points'].shape == (64, 3)
    assert item['inputs']['img'].float().std() > 5
    assert item['data_samples'].gt_label.tolist() == [0]
    assert item['data_samples'].gravity_axis == 'none'
    val = build('Shapes69', root, tmp_path, split='val', pipeline=[dict(type='LoadPoints')])
    assert len(val) == 374
    assert set(val.gt_labels) == set(range(69))
    assert np.linalg.norm(val[0]['points'], axis=1).max() == pytest.approx(1, abs=0.02)
    upright = build('Shapes69', root, tmp_path, split='val', upright_only=True, pipeline=[])
    assert 50 < len(upright) < 374
    assert {upright.get_data_info(i)['gravity_axis'] for i in range(len(upright))} == {'y'}


def test_real_shapes69_views_show_the_points(data_root, tmp_path):
    """Points and meshes of the set are in one frame: the picture covers the points."""
    dataset = build(
        'Shapes69', data_root / 'shapes69', tmp_path, indices=[0, 300, 900, 1500],
        views=dict(num_views=2, image_size=64),
        pipeline=[dict(type='LoadPoints'), dict(type='LoadView', which='first')],
    )  # fmt: skip
    for i in range(4):
        item = dataset[i]
        uv, _ = item['cameras'].project(torch.from_numpy(item['points'])[None])
        column, row = uv[0, 0].long().clamp(0, 63).numpy().T
        # thin parts are lost where the mesh was decimated; one pixel of tolerance for those
        covered = cv2.dilate((item['img'] < 250).any(-1).astype(np.uint8), np.ones((3, 3)))
        assert covered[row, column].mean() > 0.9


def test_real_lpsb19_parts(data_root, tmp_path):
    root = data_root / 'lpsb19_parts'
    pipeline = [dict(type='LoadPoints', attributes=['normal'], load_part=True)]
    dataset = build('Lpsb19Parts', root, tmp_path, split='test', pipeline=pipeline)
    assert len(dataset) == 38
    names, ids = dataset.metainfo['part_names'], dataset.metainfo['part_ids']
    assert len(names) == 94 and len(ids) == 19
    for i in range(38):
        item = dataset[i]
        own = ids[dataset.metainfo['classes'][item['gt_label']]]
        assert set(item['gt_part']) <= set(own)
        np.testing.assert_allclose(np.linalg.norm(item['points'][:, 3:], axis=1), 1, atol=0.02)
    assert names[ids['Airplane'][1]] == 'Airplane/wing'
    with pytest.raises(ValueError, match='no meshes'):
        build('Lpsb19Parts', root, tmp_path, views={})


def test_real_sets_concatenate(data_root, tmp_path):
    common = dict(pipeline=PIPELINE, cache_dir=str(tmp_path), indices=3, views=VIEWS)
    dataset = DATASETS.build(
        dict(
            type='ConcatDataset',
            datasets=[
                dict(type='Cc0Objects', data_root=str(data_root / 'cc0_objects'), **common),
                dict(type='Shapes69', data_root=str(data_root / 'shapes69'), **common),
            ],
        )
    )
    assert len(dataset) == 6
    loader = torch.utils.data.DataLoader(dataset, batch_size=6, collate_fn=list)
    (batch,) = list(loader)
    assert {item['inputs']['points'].shape for item in batch} == {(64, 3)}


def test_packed_meshes_of_the_real_set(data_root):
    meshes = PackedMeshes(data_root / 'cc0_objects' / 'meshes.npz')
    assert len(meshes) == 1936 and meshes.has_colors
    mesh = meshes[1935]
    assert len(mesh.face_colors) == len(mesh.faces)
    assert not PackedMeshes(data_root / 'shapes69' / 'meshes.npz').has_colors
