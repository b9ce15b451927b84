"""The configs of pair sets: all build, the small ones give batches of real frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mm3dpretrain.datasets import BasePairs
from mm3dpretrain.models import PairDataPreprocessor
from mm3dpretrain.registry import DATASETS, TRANSFORMS
from tests.pair_sets import no_collection, write_kitti, write_nuscenes, write_waymo  # noqa: F401

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
CONFIGS = sorted(p for p in FOLDER.glob('*.py') if '_pairs' in p.stem)


def test_there_are_configs():
    assert {path.stem for path in CONFIGS} >= {
        'kitti_pairs', 'kitti_pairs_improved', 'nuscenes_pairs', 'waymo_pairs',
        'synthetic_streets_pairs', 'synthetic_streets_pairs_tiny', 'kitti_raw_seq_pairs_tiny',
        'kitti_mini_pairs_tiny',
    }  # fmt: skip


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_config_builds(path):
    config = Config.fromfile(path)
    for key in ('train_dataloader', 'test_dataloader'):
        dataset = config[key].dataset
        assert issubclass(DATASETS.get(dataset.type), BasePairs)
        for transform in dataset.pipeline:
            TRANSFORMS.build(transform)
        assert dataset.pipeline[-1].type == 'PackPairs'
        lazy = DATASETS.build({**dataset, 'lazy_init': True})
        assert not lazy._fully_initialized
        assert lazy.test_mode == (key == 'test_dataloader')
    train = {t.type for t in config.train_dataloader.dataset.pipeline}
    test = {t.type for t in config.test_dataloader.dataset.pipeline}
    assert 'TwoViewPoints' in train
    # nothing random when testing
    assert not test & {'TwoViewPoints', 'FlipPictures', 'JitterPictures', 'CropPictures'}


def batches(config, key):
    loader = config[key]
    loader.update(num_workers=0, persistent_workers=False, batch_size=2, drop_last=False)
    init_default_scope('mm3dpretrain')
    loader = Runner.build_dataloader(loader, seed=0)
    assert not loader.dataset.broken
    preprocessor = PairDataPreprocessor()
    return [preprocessor(batch) for batch in loader]


@pytest.mark.parametrize(
    'name, train, test', [('kitti_raw_seq_pairs_tiny', 24, 5), ('kitti_mini_pairs_tiny', 9, 12)]
)
def test_small_real_sets(data_root, monkeypatch, name, train, test):
    monkeypatch.setenv('MM3D_DATA', str(data_root))
    config = Config.fromfile(FOLDER / f'{name}.py')
    for key, count in (('train_dataloader', train), ('test_dataloader', test)):
        every = DATASETS.build(config[key].dataset)
        assert len(every) == count
        config[key].dataset.indices = [len(every) - 1]  # of these one is read
        if 'raw_seq' in name and key == 'test_dataloader':
            config[key].dataset.indices = [28]
        (batch,) = batches(config, key)
        inputs = batch['inputs']
        assert inputs['img'].shape == (1, 1, 3, 128, 416)
        assert inputs['points'].shape == (1, 1024, 4)
        assert ('points_aug' in inputs) == (key == 'train_dataloader')
        assert inputs['depth'].shape == (1, 1, 64, 208)


@pytest.mark.parametrize(
    'name, write, kwargs',
    [
        ('kitti_pairs', write_kitti, {}),
        ('kitti_pairs_improved', write_kitti, {}),
        ('synthetic_streets_pairs', write_kitti, {}),
        ('synthetic_streets_pairs_tiny', write_kitti, {}),
        ('waymo_pairs', write_waymo, {}),
        ('nuscenes_pairs', write_nuscenes, dict(cameras=['CAM_FRONT'])),
    ],
)
def test_full_size_configs_give_batches(tmp_path, name, write, kwargs):
    config = Config.fromfile(FOLDER / f'{name}.py')
    config.train_dataloader.dataset.update(data_root=str(write(tmp_path)), max_refetch=0, **kwargs)
    found = batches(config, 'train_dataloader')[0]['inputs']
    points = 1024 if 'tiny' in name else 16384
    assert found['points_aug'].shape == (2, points, 4)
    assert found['img'].dim() == 5 and found['img'].shape[-1] % 32 == 0
