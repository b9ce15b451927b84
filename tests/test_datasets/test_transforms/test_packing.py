"""The last transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate

from mm3dpretrain.datasets.transforms import PackTriplets
from mm3dpretrain.structures import Cameras, PretrainDataSample


def results(**kwargs):
    return dict(
        points=np.zeros((10, 3), np.float64),
        point_channels=('x', 'y', 'z'),
        img=np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3),
        gt_label=3,
        sample_id='a-b',
        caption=['text'],
        unrelated=1,
        **kwargs,
    )


def test_pack():
    cameras = Cameras(torch.eye(4)[None, None], torch.eye(3)[None, None], (4, 5))
    item = PackTriplets()(results(gt_part=np.arange(10, dtype=np.int16), cameras=cameras))
    inputs, sample = item['inputs'], item['data_samples']
    assert inputs['points'].dtype == torch.float32 and inputs['points'].shape == (10, 3)
    assert inputs['img'].dtype == torch.uint8 and inputs['img'].shape == (3, 4, 5)
    assert inputs['img'][:, 1, 2].tolist() == results()['img'][1, 2].tolist()
    assert isinstance(sample, PretrainDataSample)
    assert sample.gt_label.tolist() == [3] and sample.gt_label.dtype == torch.int64
    assert sample.gt_part.dtype == torch.int64
    assert sample.cameras is cameras
    assert sample.sample_id == 'a-b' and sample.caption == ['text']
    assert 'unrelated' not in sample


def test_unknown_label_and_missing_parts_are_left_out():
    data = results()
    data['gt_label'] = -1
    del data['img']
    item = PackTriplets()(data)
    assert set(item['inputs']) == {'points'}
    for name in ('gt_label', 'gt_part', 'cameras'):
        assert name not in item['data_samples']


def test_several_views():
    data = results()
    data['img'] = np.zeros((2, 4, 5, 3), np.uint8)
    assert PackTriplets()(data)['inputs']['img'].shape == (2, 3, 4, 5)


def test_nothing_loaded():
    with pytest.raises(ValueError, match='nothing was loaded'):
        PackTriplets()(dict(points=np.zeros((10, 3))))  # raw points of a record, not loaded


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_batches(collate):
    batch = collate([PackTriplets()(results()) for _ in range(2)])
    assert len(batch['inputs']['points']) == 2
    assert [s.sample_id for s in batch['data_samples']] == ['a-b', 'a-b']
