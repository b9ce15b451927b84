"""Every data config builds its pipeline, and the small real ones give batches."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mm3dpretrain.registry import DATASETS, TRANSFORMS

FOLDER = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets'
# the scenes and nuScenes' labels are data sets of mmdet3d: test_synthetic_rooms.py,
# test_synthetic_streets.py, test_configs.py; pairs of scans and pictures have test_pair_configs.py,
# depth test_depth.py
SCENES = ('synthetic_rooms', 'synthetic_streets', 'indoor_scenes')
OTHERS = ('_pairs', '_pairs_tiny', '_pairs_improved', '_depth', '_lidarseg', '_det_colors')
CONFIGS = sorted(
    p for p in FOLDER.glob('*.py') if not (p.stem.startswith(SCENES) or p.stem.endswith(OTHERS))
)


def all_datasets(config):
    for key in config:
        if key.endswith('_dataloader'):
            dataset = config[key].dataset
            yield from dataset.get('datasets', [dataset])


def test_there_are_configs():
    names = {path.stem for path in CONFIGS}
    assert names >= {'shapenet55_triplets', 'modelnet40_cls', 'scanobjectnn_cls'}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_config_names_exist(path):
    config = Config.fromfile(path)
    datasets = list(all_datasets(config))
    assert datasets
    for dataset in datasets:
        assert DATASETS.get(dataset.type) is not None
        for transform in dataset.pipeline:
            TRANSFORMS.build(transform)
        packing = 'PackFrames' if path.stem.endswith('_frames') else 'PackTriplets'
        assert dataset.pipeline[-1].type == packing
        lazy = DATASETS.build({**dataset, 'lazy_init': True})
        assert not lazy._fully_initialized


@pytest.mark.parametrize(
    'name, dataset', [('modelnet40_cls', 'ModelNet'), ('shapenet55_triplets', 'ShapeNet55')]
)
def test_missing_data_says_what_to_do(name, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.fromfile(FOLDER / f'{name}.py')
    with pytest.raises(FileNotFoundError, match=f'(?s){dataset}.*Get it from.*docs/datasets.md'):
        DATASETS.build(config.train_dataloader.dataset)


def test_real_triplets_give_batches(data_root, tmp_path, monkeypatch):
    monkeypatch.setenv('MM3D_DATA', str(data_root))
    config = Config.fromfile(FOLDER / 'cc0_shapes69_triplets.py')
    loader = config.train_dataloader
    for dataset in loader.dataset.datasets:
        dataset.update(indices=4, cache_dir=str(tmp_path))
        dataset.views.update(num_views=2)
    loader.update(batch_size=4, num_workers=0, persistent_workers=False)
    init_default_scope('mm3dpretrain')
    batches = list(Runner.build_dataloader(loader, seed=0))
    assert len(batches) == 2
    assert batches[0]['inputs']['points'].shape == (4, 512, 3)
    assert batches[0]['inputs']['img'].shape == (4, 3, 64, 64)
    names = {s.sample_id for b in batches for s in b['data_samples']}
    assert len(names) == 8
