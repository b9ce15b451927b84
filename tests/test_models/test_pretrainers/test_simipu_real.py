"""The small SimIPU on real frames, through the files, pipelines and parts of its config."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope

pytest.importorskip('mmdet3d')

from mm3dpretrain.evaluation import CrossModalRetrieval
from mm3dpretrain.models.utils.image_sampling import project_to_images
from mm3dpretrain.registry import DATASETS, MODELS, TASK_UTILS
from mm3dpretrain.utils import prepare_runtime

CONFIG = 'configs/simipu/simipu_r18-pointnet2msg-tiny_1xb2-40e_kitti-raw-seq.py'


@pytest.fixture
def cfg(monkeypatch, data_root):
    monkeypatch.chdir(Path(__file__).resolve().parents[3])
    monkeypatch.setenv('MM3D_DATA', str(data_root))
    cfg = prepare_runtime(CONFIG)
    init_default_scope('mm3dpretrain')
    return cfg


def test_training_step(cfg):
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    model = MODELS.build(cfg.model).train()
    data = model.data_preprocessor(pseudo_collate([dataset[0], dataset[12]]), True)
    losses = model(**data, mode='loss')
    # the LiDAR stands above the camera: nearly all that is in the picture is not hidden
    assert losses['visible'] > 0.9 and losses['frames_unseen'] == 0
    assert losses['matched'] > 0.9 and losses['match_dist'] < 0.3
    for term in ('intra', 'inter'):
        rows = losses[f'{term}_candidates'].item()
        assert 1800 < rows <= 2048
        # ln M + 1 / (2 d tau^2) for random unit vectors of d = 64 channels
        level = math.log(rows) + 1 / (2 * 64 * 0.07**2)
        assert math.log(rows) - 1 < losses[f'loss_{term}'] < level + 1
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name


def test_held_out_frames_and_an_untrained_model(cfg):
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    assert len(dataset) == 5
    model = MODELS.build(cfg.model).eval()
    metric = CrossModalRetrieval(num_candidates=1024)
    with torch.no_grad():
        data = model.data_preprocessor(pseudo_collate([dataset[4]]))
        metric.process(None, model(**data, mode='predict'))
    found = metric.compute_metrics(metric.results)
    assert found['queries'] > 900 and found['top1'] < 1.5
    assert 50 < found['chance_pixel_dist'] < 250


def test_published_and_improved_are_tested_on_the_same_points(monkeypatch, data_root):
    monkeypatch.chdir(Path(__file__).resolve().parents[3])
    shown = []
    for name in ('pointnet2msg', 'pointnet2msg-improved'):
        cfg = prepare_runtime(f'configs/simipu/simipu_r50-{name}_8xb4-100e_kitti.py')
        init_default_scope('mm3dpretrain')
        record = dict(cfg.test_dataloader.dataset, data_root=str(data_root / 'kitti_mini'))
        inputs = {k: v[None].float() for k, v in DATASETS.build(record)[0]['inputs'].items()}
        size = tuple(inputs['img'].shape[-2:])
        where = [inputs[key] for key in ('lidar2img', 'img_shape', 'depth')]
        projector = TASK_UTILS.build(cfg.model.projector)
        xyz = inputs['points'][..., :3]
        shown.append(project_to_images(xyz, where[0], size, *where[1:], projector)[2])
    assert shown[0].equal(shown[1]) and shown[0].float().mean() > 0.95
