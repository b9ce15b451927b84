"""The embedded set is read by the loaders of the real sets, cameras and parts included."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.datasets.synthetic.writer import write_synthetic_shapes
from mm3dpretrain.registry import DATASETS


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    out = tmp_path_factory.mktemp('synthetic') / 'data'
    write_synthetic_shapes(
        out, 2, 1, categories=['mug', 'chair'], views=3, image_size=48, num_points=512, workers=1,
        progress=False,
    )  # fmt: skip
    return out


def test_shapenet(root):
    dataset = DATASETS.build(
        dict(
            type='ShapeNet55',
            data_root=str(root),
            images='required',
            expected_count=None,
            pipeline=[
                dict(type='LoadPoints', attributes=('rgb', 'normal'), load_part=True),
                dict(type='LoadView', num_views=3),
            ],
        )
    )
    assert len(dataset) == 4
    assert set(dataset.metainfo['classes']) == {'mug', 'chair'}
    for index in range(4):
        item = dataset[index]
        name = dataset.metainfo['classes'][item['gt_label']]
        assert item['points'].shape == (512, 9)
        assert np.linalg.norm(item['points'][:, :3], axis=1).max() <= 1 + 1e-4
        assert item['points'][:, 3:6].min() >= 0 and item['points'][:, 3:6].max() <= 1
        np.testing.assert_allclose(np.linalg.norm(item['points'][:, 6:], axis=1), 1, atol=1e-2)
        assert set(item['gt_part']) <= set(dataset.metainfo['part_ids'][name])
        assert len(item['caption']) >= 2
        # the stored cameras see the points where the pictures show the shape
        uv, depth = item['cameras'].project(torch.from_numpy(item['points'][None, :, :3]))
        assert (depth > 0).all()
        for view in range(3):
            column, row = uv[0, view].floor().long().clamp(0, 47).numpy().T
            assert (item['img'][view] < 250).any(-1)[row, column].mean() > 0.9


def test_modelnet(root):
    dataset = DATASETS.build(
        dict(
            type='ModelNetOFF',
            data_root=str(root / 'ModelNet'),
            split='test',
            expected_count=None,
            num_points=256,
            cache_dir=None,
            pipeline=[dict(type='LoadPoints'), dict(type='NormalizePoints')],
        )
    )
    assert dataset.metainfo['classes'] == ('chair', 'mug')
    assert len(dataset) == 2
    assert dataset[1]['points'].shape == (256, 3)
