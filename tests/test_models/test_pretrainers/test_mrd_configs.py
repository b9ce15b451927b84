"""The models and schedules that configs of MRD and its baselines are made of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mm3dpretrain.registry import MODELS

BASE = Path(__file__).resolve().parents[3] / 'configs' / '_base_'
MODEL_CONFIGS = sorted((BASE / 'models').glob('mrd_*.py'))
NEEDS = dict(sparseresnet34='spconv', uni3d='timm', pointnet2='mmdet3d')
init_default_scope('mm3dpretrain')


def config(path) -> dict:
    for part, package in NEEDS.items():
        if part in path.stem:
            pytest.importorskip(package)
    return Config.fromfile(path).model


def batch(size: int, points: int, width: int) -> dict:
    cloud = torch.cat([torch.rand(size, points, 3) * 2 - 1, torch.rand(size, points, 3)], dim=2)
    return dict(
        points=cloud, image_embeds=torch.randn(size, width), text_embeds=torch.randn(size, width)
    )


@pytest.mark.parametrize('path', MODEL_CONFIGS, ids=lambda p: p.stem)
def test_model_builds(path):
    cfg = config(path)
    with torch.device('meta'):
        model = MODELS.build(cfg)
    assert model.projection.out_features == cfg.embed_dim
    baseline = path.stem.endswith(('alignment', 'ulip', 'crosspoint'))
    assert (len(model.relations) == 0) == baseline
    assert model.modalities == (('image',) if 'crosspoint' in path.stem else ('image', 'text'))


@pytest.mark.parametrize('name', ['mrd_ppat-tiny', 'mrd_ppat-tiny_alignment'])
@pytest.mark.parametrize('schedule', ['adamw_step_openshape', 'adamw_cosine_ema_100e'])
def test_tiny_model_takes_a_step(name, schedule):
    model = MODELS.build(config(BASE / 'models' / f'{name}.py'))
    wrapper = Config.fromfile(BASE / 'schedules' / f'{schedule}.py').optim_wrapper
    optim = build_optim_wrapper(model, wrapper)
    names = {id(p): n for n, p in model.named_parameters()}
    for group in optim.param_groups:
        for parameter in group['params']:
            if names.get(id(parameter), '').startswith(('alignment', 'dynamic_weights')):
                assert group['weight_decay'] == 0
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    log = model.train_step(dict(inputs=batch(4, 512, 512), data_samples=None), optim)
    assert torch.isfinite(log['loss'])
    assert not [n for n, p in model.named_parameters() if torch.equal(p, before[n])]
