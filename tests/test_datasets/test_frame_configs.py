"""The configs of RGB-D frames: all build, those of small sets give batches of real frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mm3dpretrain.datasets import RGBDFrames
from mm3dpretrain.datasets.synthetic import write_synthetic_rooms
from mm3dpretrain.models import PretrainDataPreprocessor
from mm3dpretrain.registry import DATASETS, TRANSFORMS

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
CONFIGS = sorted(FOLDER.glob('*_frames.py'))
RANDOM = {'RotateScaleScene', 'ColorJitterView', 'DropDepth'}


def test_there_are_configs():
    assert {path.stem for path in CONFIGS} >= {
        'rgbd_7scenes_frames', 'scannet_frames', 'shapes_frames', 'synthetic_rooms_frames',
    }  # fmt: skip


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_config_builds(path):
    config = Config.fromfile(path)
    for key in ('train_dataloader', 'test_dataloader'):
        dataset = config[key].dataset
        assert issubclass(DATASETS.get(dataset.type), RGBDFrames)
        for transform in dataset.pipeline:
            TRANSFORMS.build(transform)
        types = {transform.type for transform in dataset.pipeline}
        assert dataset.pipeline[-1].type == 'PackFrames' and 'SampleCorrespondences' in types
        lazy = DATASETS.build({**dataset, 'lazy_init': True})
        assert lazy.test_mode == (key == 'test_dataloader')
        assert bool(types & RANDOM) == (key == 'train_dataloader')


def first_batch(config, key, tmp_path, **settings):
    loader = config[key]
    loader.update(num_workers=0, persistent_workers=False, batch_size=2)
    loader.dataset.update(cache_dir=str(tmp_path / 'cache'), workers=1, **settings)
    init_default_scope('mm3dpretrain')
    loader = Runner.build_dataloader(loader, seed=0)
    return loader.dataset, PretrainDataPreprocessor()(next(iter(loader)))['inputs']


def check(inputs):
    assert inputs['points'].shape == (2, 4096, 6)
    assert inputs['img'].shape == (2, 2, 3, 120, 160)
    assert inputs['depth'].shape == (2, 2, 120, 160)
    assert inputs['query_valid'].dtype == torch.bool and inputs['query_valid'].any(-1).all()
    assert torch.equal(inputs['queries'][:, 0], inputs['targets'][:, 1])


def test_seven_scenes(data_root, tmp_path):
    config = Config.fromfile(FOLDER / 'rgbd_7scenes_frames.py')
    root = str(data_root / 'rgbd_7scenes')
    used = []
    for key in ('train_dataloader', 'test_dataloader'):
        dataset, inputs = first_batch(config, key, tmp_path, data_root=root, overlap_stride=16)
        check(inputs)
        assert not dataset.broken and not dataset.skipped
        used.append([frame['frame_id'] for frame in dataset.scans['frames'].frames])
    assert [len(names) for names in used] == [65, 20]
    # the held-out frames come after the others
    assert max(used[0]) < min(used[1])


def test_synthetic_rooms(tmp_path):
    write_synthetic_rooms(
        tmp_path / 'rooms', train=2, val=1, image_size=(120, 160), num_points=2000, workers=1,
        steps=1, progress=False,
    )  # fmt: skip
    config = Config.fromfile(FOLDER / 'synthetic_rooms_frames.py')
    for key in ('train_dataloader', 'test_dataloader'):
        dataset, inputs = first_batch(
            config, key, tmp_path, data_root=str(tmp_path / 'rooms'), min_overlap=0.1
        )
        check(inputs)
        assert not dataset.broken
