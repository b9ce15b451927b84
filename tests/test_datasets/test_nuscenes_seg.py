"""nuScenes-lidarseg through the full-size configs: labels, mixing, shares of labels, one step."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

pytest.importorskip('mmdet3d')

from mmdet3d.registry import DATASETS, MODELS, TRANSFORMS
from mmdet3d.structures import LiDARPoints

from mm3dpretrain.datasets import SampleError
from mm3dpretrain.utils import prepare_runtime

CONFIGS = Path(__file__).resolve().parents[2] / 'configs/downstream/mmdet3d'


@pytest.fixture(autouse=True)
def _mmdet3d_scope():
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """Twelve key frames of 600 random points in nuScenes' layout."""
    root = tmp_path_factory.mktemp('nuscenes')
    rng = np.random.default_rng(0)
    (root / 'samples/LIDAR_TOP').mkdir(parents=True)
    (root / 'lidarseg/v1.0-trainval').mkdir(parents=True)
    frames = []
    for number in range(12):
        points = rng.uniform([-20, -20, -3, 0, 0], [20, 20, 1, 255, 31], (600, 5))
        points.astype(np.float32).tofile(root / f'samples/LIDAR_TOP/{number}.pcd.bin')
        labels = np.concatenate([np.arange(32), rng.integers(0, 32, 568)])
        labels.astype(np.uint8).tofile(root / f'lidarseg/v1.0-trainval/{number}_lidarseg.bin')
        frames.append(
            dict(
                sample_idx=number,
                lidar_points=dict(lidar_path=f'{number}.pcd.bin', num_pts_feats=5),
                pts_semantic_mask_path=f'{number}_lidarseg.bin',
                instances=[],
            )
        )
    meta = dict(dataset='nuscenes', info_version='1.1')
    for split in ('train', 'val'):
        with open(root / f'nuscenes_infos_{split}.pkl', 'wb') as file:
            pickle.dump(dict(metainfo=meta, data_list=frames), file)
    return root


def config_of(name: str, root: Path):
    config = prepare_runtime(CONFIGS / f'{name}.py')
    for loader in (config.train_dataloader, config.test_dataloader):
        loader.dataset.data_root = str(root) + '/'
    return config


def test_labels_of_the_files_become_the_classes_of_the_benchmark(root):
    config = config_of('minkunet34_8xb2-36e_nuscenes-seg_scratch', root)
    dataset = DATASETS.build(config.test_dataloader.dataset)
    assert len(dataset) == 12 and len(dataset.metainfo['classes']) == 16
    item = dataset[3]
    seen = item['data_samples'].gt_pts_seg.pts_semantic_mask.numpy()
    stored = np.fromfile(root / 'lidarseg/v1.0-trainval/3_lidarseg.bin', np.uint8)
    assert seen.shape == stored.shape == (600,)
    names = (*dataset.metainfo['classes'], 'ignored')
    by_label = {int(label): names[seen[i]] for i, label in enumerate(stored)}
    assert len(by_label) == 32
    # labels of the files by the names that nuScenes gives them
    assert {by_label[i] for i in (2, 3, 4, 6)} == {'pedestrian'}
    assert by_label[15] == by_label[16] == 'bus'
    expected = {9: 'barrier', 12: 'traffic_cone', 14: 'bicycle', 17: 'car',
                18: 'construction_vehicle',
                21: 'motorcycle', 22: 'trailer', 23: 'truck', 24: 'driveable_surface',
                25: 'other_flat', 26: 'sidewalk', 27: 'terrain', 28: 'manmade', 30: 'vegetation',
                0: 'ignored', 1: 'ignored', 5: 'ignored', 31: 'ignored'}  # fmt: skip
    assert {label: by_label[label] for label in expected} == expected
    # what the metric compares with
    assert np.array_equal(item['data_samples'].eval_ann_info['pts_semantic_mask'], seen)
    # intensities as in the pre-training
    points = np.fromfile(root / 'samples/LIDAR_TOP/3.pcd.bin', np.float32).reshape(-1, 5)
    np.testing.assert_allclose(item['inputs']['points'][:, :3], points[:, :3])
    np.testing.assert_allclose(item['inputs']['points'][:, 3], points[:, 3] / 255, rtol=1e-5)


@pytest.mark.parametrize('share, step', [('1pct', 100), ('5pct', 20), ('10pct', 10), ('25pct', 4)])
def test_shares_of_labels_are_fixed_lists(share, step):
    for kind in ('ft', 'scratch'):
        config = prepare_runtime(CONFIGS / f'minkunet34_8xb2-36e_nuscenes-seg-{share}_{kind}.py')
        assert config.train_dataloader.dataset.indices == list(range(0, 28130, step))
        assert 'indices' not in config.test_dataloader.dataset
    whole = prepare_runtime(CONFIGS / 'minkunet34_8xb2-36e_nuscenes-seg_ft.py')
    assert 'indices' not in whole.train_dataloader.dataset


def test_trains_a_step_and_predicts(root):
    pytest.importorskip('spconv', reason='MinkUNet needs spconv: pip install spconv')
    config = config_of('minkunet34_8xb2-36e_nuscenes-seg_scratch', root)
    config.train_dataloader.dataset.indices = list(range(4))
    config.model.backbone.update(
        base_channels=8, encoder_channels=[8, 8, 8, 8], decoder_channels=[8, 8, 8, 8],
        encoder_blocks=[1, 1, 1, 1], decoder_blocks=[1, 1, 1, 1],
    )  # fmt: skip
    config.model.decode_head.channels = 8
    model = MODELS.build(config.model)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert len(dataset) == 4
    batch = pseudo_collate([dataset[0], dataset[1]])
    # mixing took points of the other scan, with their labels
    for points, sample in zip(batch['inputs']['points'], batch['data_samples']):
        assert len(points) == len(sample.gt_pts_seg.pts_semantic_mask)
        assert float(points[:, 3].min()) >= 0 and float(points[:, 3].max()) <= 1
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total) and total > 0
    item = DATASETS.build(config.test_dataloader.dataset)[0]
    model.eval()
    (found,) = model.test_step(pseudo_collate([item]))
    assert found.pred_pts_seg.pts_semantic_mask.shape == (600,)
    assert int(found.pred_pts_seg.pts_semantic_mask.max()) < 16


def test_infos_without_labels_are_refused(root, tmp_path):
    with open(root / 'nuscenes_infos_val.pkl', 'rb') as file:
        infos = pickle.load(file)
    for frame in infos['data_list']:
        del frame['pts_semantic_mask_path']
    with open(tmp_path / 'nuscenes_infos_val.pkl', 'wb') as file:
        pickle.dump(infos, file)
    config = config_of('minkunet34_8xb2-36e_nuscenes-seg_scratch', tmp_path)
    with pytest.raises(SampleError, match='unpack nuScenes-lidarseg'):
        DATASETS.build(config.test_dataloader.dataset)


def test_scale_intensity():
    scale = TRANSFORMS.build(dict(type='mm3dpretrain.ScaleIntensity', factor=0.5))
    points = LiDARPoints(torch.ones(3, 5), points_dim=5)
    out = scale(dict(points=points))['points'].tensor
    assert out[0].tolist() == [1, 1, 1, 0.5, 1]
    assert points.tensor.eq(1).all()  # not in place
    with pytest.raises(ValueError, match='use_dim >= 4'):
        scale(dict(points=LiDARPoints(torch.ones(3, 3))))
    with pytest.raises(ValueError, match='must be positive, got 0'):
        TRANSFORMS.build(dict(type='mm3dpretrain.ScaleIntensity', factor=0))


def test_centerpoint_scales_the_intensity_after_pasting_and_sweeps():
    config = prepare_runtime(CONFIGS / 'centerpoint_lidarbev_8xb4-20e_nuscenes_ft.py')
    train = [step.type for step in config.train_dataloader.dataset.dataset.pipeline]
    test = [step.type for step in config.test_dataloader.dataset.pipeline]
    place = train.index('mm3dpretrain.ScaleIntensity')
    assert train[place - 1] == 'ObjectSample' and train[place + 1] == 'GlobalRotScaleTrans'
    place = test.index('mm3dpretrain.ScaleIntensity')
    assert test[place - 1] == 'LoadPointsFromMultiSweeps' and test.count(test[place]) == 1
