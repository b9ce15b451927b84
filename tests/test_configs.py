"""Every config of the repository builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mm3dpretrain.registry import DATASETS, HOOKS, MODELS, PARAM_SCHEDULERS, TRANSFORMS
from mm3dpretrain.utils import prepare_runtime

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path
    for folder in (ROOT / 'configs', ROOT / 'projects')
    for path in folder.rglob('*.py')
    if '_base_' not in path.parts and (folder.name == 'configs' or 'configs' in path.parts)
)
# the evaluation of a finished run has no schedule of its own
UNTRAINED = ('_svm', '_zeroshot')


def leaves(cfg):
    """All dictionaries inside a config."""
    if isinstance(cfg, dict):
        yield cfg
        for value in cfg.values():
            yield from leaves(value)
    elif isinstance(cfg, (list, tuple)):
        for value in cfg:
            yield from leaves(value)


def datasets(cfg: Config):
    for key in ('train', 'val', 'test'):
        loader = cfg.get(f'{key}_dataloader')
        if loader:
            yield loader['dataset']
    for key in ('train_dataset', 'test_dataset'):
        if key in cfg.get('probe', {}):
            yield cfg.probe[key]


MMDET3D = [path for path in CONFIGS if 'mmdet3d' in path.parts]


@pytest.mark.parametrize('path', MMDET3D, ids=lambda p: p.stem)
def test_mmdet3d_config_builds(path, monkeypatch):
    """Model, data sets and hooks in mmdet3d's own scope, as its runner builds them."""
    registry = pytest.importorskip('mmdet3d.registry')
    monkeypatch.chdir(ROOT)
    cfg = prepare_runtime(path)
    assert cfg.default_scope == 'mmdet3d'
    try:
        model = registry.MODELS.build(cfg.model)
        assert sum(p.numel() for p in model.parameters()) > 0
        records = [
            record
            for key in ('train', 'val', 'test')
            for record in leaves(cfg[f'{key}_dataloader'])
            if 'pipeline' in record and 'type' in record
        ]
        assert records
        for record in records:  # without reading the data, which may not be there
            # ObjectSample reads its objects as soon as it is built
            steps = [step for step in record['pipeline'] if step['type'] != 'ObjectSample']
            record = dict(record, pipeline=steps)
            if 'ann_files' not in record:  # S3DIS reads several lists at once
                assert registry.DATASETS.build(dict(record, lazy_init=True)) is not None
            for transform in record['pipeline']:
                assert registry.TRANSFORMS.build(transform) is not None
        hooks = [hook['type'] for hook in cfg.get('custom_hooks', [])]
        assert all(registry.HOOKS.get(hook) is not None for hook in hooks)
        # whatever starts from a checkpoint proves that it arrived
        loads = any(
            str(d.get('type')).endswith(('Pretrained', 'PretrainedParts'))
            for d in leaves(cfg.model)
        )
        assert loads == ('mm3dpretrain.LoadReportHook' in hooks)
    finally:
        init_default_scope('mm3dpretrain')


@pytest.mark.parametrize(
    'path', [path for path in CONFIGS if path not in MMDET3D], ids=lambda p: p.stem
)
def test_config_builds(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = prepare_runtime(path)
    model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.parameters()) > 0
    if not path.stem.endswith(UNTRAINED):
        assert cfg.train_cfg.type == 'ResumableTrainLoop'
    init_default_scope('mm3dpretrain')
    for dataset in datasets(cfg):
        # without reading the data, which may not be there
        for sub in dataset.get('datasets', [dataset]):
            assert DATASETS.build(dict(sub, lazy_init=True)) is not None
            for transform in sub['pipeline']:
                assert TRANSFORMS.build(transform) is not None
    for hook in cfg.get('custom_hooks', []):
        assert HOOKS.get(hook['type']) is not None, hook
    schedulers = cfg.get('param_scheduler', [])
    if isinstance(schedulers, dict):  # of several optimisers, by their names
        assert set(schedulers) <= set(cfg.optim_wrapper)
        schedulers = [scheduler for each in schedulers.values() for scheduler in each]
    for scheduler in schedulers:
        assert PARAM_SCHEDULERS.get(scheduler['type']) is not None, scheduler
        assert scheduler.get('end', 0) <= cfg.train_cfg.max_epochs


def test_names_follow_the_convention():
    """{method}_{encoder}_{gpus}xb{batch}-{epochs}e_{data}[_protocol].py"""
    for path in CONFIGS:
        if path.is_relative_to(ROOT / 'configs') and not path.stem.endswith(UNTRAINED):
            parts = path.stem.split('_')
            schedule = next((p for p in parts if 'xb' in p and p.endswith('e')), None)
            assert schedule, path
            cfg = Config.fromfile(path)
            batch, epochs = schedule.split('xb')[1].rstrip('e').split('-')
            assert cfg.train_dataloader.batch_size == int(batch), path
            assert cfg.train_cfg.max_epochs == int(epochs), path
