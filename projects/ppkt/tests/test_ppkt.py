"""A point network learns from frozen pictures, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet3d')

from mm3dpretrain.models.utils.image_sampling import project_to_images
from mm3dpretrain.registry import MODELS, TASK_UTILS, TRANSFORMS
from mm3dpretrain.utils import prepare_runtime

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / 'projects/ppkt/configs/ppkt_minkunet-tiny_1xb4-20e_synthetic-streets.py'


def camera_batch(batch: int = 2, num: int = 300, size: tuple[int, int] = (64, 96)) -> dict:
    """Points in front of a camera that looks along x; pictures whose colours tell the place."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(batch, num, 4, generator=generator)
    points[..., :3] = points[..., :3] * torch.tensor([10.0, 16.0, 4.0]) + torch.tensor([6, -8, -2])
    height, width = size
    focal = 60.0
    # u = w / 2 - f y / x, v = h / 2 - f z / x
    lidar2img = torch.tensor(
        [[width / 2, -focal, 0, 0], [height / 2, 0, -focal, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    )
    ramp = torch.stack(
        torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing='ij')
    )
    img = torch.stack([ramp[0], ramp[1], ramp.prod(0).mul(9).sin()]).expand(batch, 1, 3, -1, -1)
    noise = 0.3 * torch.randn(batch, 1, 3, 8, 12, generator=generator)
    noise = noise.repeat_interleave(8, -1).repeat_interleave(8, -2)
    return dict(
        points=points,
        img=img + noise,
        lidar2img=lidar2img.expand(batch, 1, 4, 4),
        img_shape=torch.tensor([height, width]).expand(batch, 1, 2),
    )


@pytest.fixture
def model(monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = prepare_runtime(CONFIG)
    torch.manual_seed(0)
    cfg.model.image_encoder.init_cfg = None
    return MODELS.build(cfg.model).train()


def test_only_points_and_heads_learn(model):
    model.loss(camera_batch())['loss_ppkt'].backward()
    moved = {name.split('.')[0] for name, p in model.named_parameters() if p.grad is not None}
    assert moved == {'point_encoder', 'point_head', 'image_head'}
    assert all(
        parameter.grad.abs().sum() > 0
        for name, parameter in model.named_parameters()
        if name.startswith('point_')
        # what a batch norm follows has no use for a shift
        and parameter.grad is not None
        and parameter.dim() > 1
    )


def test_image_network_keeps_its_statistics(model):
    before = {key: value.clone() for key, value in model.image_encoder.state_dict().items()}
    model.train()
    model.loss(camera_batch())
    for key, value in model.image_encoder.state_dict().items():
        assert value.equal(before[key]), key
    assert model.point_encoder.training and not model.image_encoder.training


def test_learns(model):
    batch = camera_batch()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(10):
        out = model.loss(batch)
        optimizer.zero_grad()
        out['loss_ppkt'].backward()
        optimizer.step()
        losses.append(out['loss_ppkt'].item())
    assert losses[-1] < losses[0] - 0.5, losses
    assert 0 <= out['top1'] <= 1


def test_pairs_are_limited_and_seen(model):
    batch = camera_batch()
    seen = model._pairs(batch).seen
    assert 100 < seen.sum() < 2 * 300
    assert model.loss(batch)['pairs'] == seen.sum()
    model.num_pairs = 50
    assert model.loss(batch)['pairs'] == 50


def test_a_moved_cloud_meets_the_same_pixels(model):
    """The augmented view is undone before it is projected."""
    batch = camera_batch()
    turn = torch.tensor([[0.0, -1, 0, 2], [1, 0, 0, 3], [0, 0, 1, 0], [0, 0, 0, 1]])
    moved = batch['points'].clone()
    moved[..., :3] = batch['points'][..., :3] @ turn[:3, :3].T + turn[:3, 3]
    plain = model._pairs(batch)
    again = model._pairs(dict(batch, points_aug=moved, transform=turn.expand(2, 4, 4)))
    assert plain.seen.equal(again.seen)
    torch.testing.assert_close(plain.uv[plain.seen], again.uv[plain.seen], atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    'config',
    sorted((ROOT / 'projects').glob('[ps][pl]*/configs/*.py')),
    ids=lambda path: path.stem,
)
def test_a_road_does_not_hide_itself(config):
    """Rings of a scan on flat ground, which the camera beside the LiDAR sees whole."""
    cfg = prepare_runtime(config)
    (depth,) = [t for t in cfg.train_pipeline if t['type'] == 'LidarDepth']
    (size,) = [t['size'] for t in cfg.train_pipeline if t['type'] == 'ResizePictures']
    height, width = size
    below, aside = torch.meshgrid(
        torch.linspace(0.03, 0.4, 64), torch.linspace(-0.6, 0.6, 800), indexing='ij'
    )
    reach = 1.7 / below.tan()
    points = torch.stack(
        [reach * aside.cos(), reach * aside.sin(), torch.full_like(reach, -1.7)], dim=-1
    ).flatten(0, 1)
    lidar2img = torch.eye(4)
    lidar2img[:3, :3] = torch.tensor(
        [[width / 2, -width / 2, 0], [height / 2, 0, -width / 2], [1, 0, 0]]
    )
    frame = dict(
        points=points.numpy(),
        img_shape=[(height, width)],
        lidar2img=lidar2img[None].double().numpy(),
    )
    frame = TRANSFORMS.build(depth).transform(frame)
    everything = (points[None], lidar2img[None, None], (height, width), None)
    projector = TASK_UTILS.build(cfg.model.get('projector') or dict(type='PointProjector'))
    shown = project_to_images(*everything, torch.from_numpy(frame['depth'])[None], projector)[2]
    inside = project_to_images(*everything)[2]
    assert inside.sum() > 10000 and shown.sum() > 0.9 * inside.sum()


def test_no_pair_is_no_error(model):
    batch = camera_batch()
    batch['points'][..., 0] -= 100  # all behind the camera
    out = model.loss(batch)
    assert out['loss_ppkt'] == 0 and out['pairs'] == 0
    out['loss_ppkt'].backward()
