"""The parts work, are found from a config, and are found through an entry point."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from mmengine.registry import init_default_scope

from mm3dpretrain.models.renderers import PointSplatRenderer, cube_corner_views
from mm3dpretrain.registry import MODELS, RENDERERS
from mm3dpretrain.utils import prepare_runtime

PROJECT = Path(__file__).resolve().parents[1]
ROOT = PROJECT.parents[1]
CONFIG = PROJECT / 'configs' / 'drpoint_tinypointnet_1xb32-10e_synthetic.py'


def test_config_brings_its_parts_and_trains_them(monkeypatch):
    monkeypatch.chdir(ROOT)
    cfg = prepare_runtime(CONFIG)
    model = MODELS.build(cfg.model).train()
    assert type(model.point_encoder).__module__.startswith('projects.example_project')
    assert type(model.cross_modal_loss).__name__ == 'DecoupledContrastLoss'
    assert type(model.renderer).__name__ == 'NearestPixelRenderer'
    losses = model.loss(dict(points=torch.rand(4, 64, 3) - 0.5, img=torch.rand(4, 3, 64, 64)))
    assert set(losses) == {'loss_rd', 'loss_rp', 'loss_pd'}
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.point_encoder.parameters())


def test_renderer_agrees_with_the_built_in_one():
    prepare_runtime(CONFIG)
    init_default_scope('mm3dpretrain')
    points = torch.rand(2, 40, 3, dtype=torch.float64) - 0.5
    colors = torch.rand(2, 40, 3, dtype=torch.float64)
    cameras = cube_corner_views(image_size=24)
    ours = RENDERERS.build(dict(type='NearestPixelRenderer'))(points, cameras, colors)
    # a disc of half a pixel reaches a pixel centre only if the point lies in that pixel
    disc = PointSplatRenderer(radius=0.5, kernel='disc', depth_tolerance=0)(points, cameras, colors)
    both = (ours.index >= 0) & (disc.index >= 0)
    assert both.sum() > 200
    same = both & (ours.index == disc.index)
    assert same.sum() / both.sum() > 0.95
    torch.testing.assert_close(ours.depth[same], disc.depth[same])
    kept = same[:, :, None].expand_as(ours.features)
    torch.testing.assert_close(ours.features[kept], disc.features[kept])


def test_renderer_gradients():
    prepare_runtime(CONFIG)
    renderer = RENDERERS.build(dict(type='NearestPixelRenderer'))
    points = (torch.rand(1, 6, 3, dtype=torch.float64) - 0.5).requires_grad_()
    cameras = cube_corner_views(image_size=8).select_views([0]).to(torch.float64)
    loss = renderer(points, cameras).depth.sum()
    (grad,) = torch.autograd.grad(loss, points)
    axis = cameras.extrinsics[0, 0, 2, :3]
    step = 1e-6 * axis  # along the viewing direction, so that pixels stay the same
    moved = renderer(points + step, cameras).depth.sum()
    torch.testing.assert_close((moved - loss) / 1e-6, (grad @ axis).sum(), rtol=1e-4, atol=1e-6)


def test_loss_prefers_aligned_features():
    prepare_runtime(CONFIG)
    loss = MODELS.build(dict(type='DecoupledContrastLoss'))
    x = torch.eye(6)
    assert loss(x, x) < loss(x, x.roll(1, 0)) - 5


def test_entry_point_of_an_installed_package(tmp_path):
    """A package that only announces itself is found by every command."""
    info = tmp_path / 'my_parts-1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: my-parts\nVersion: 1.0\n')
    (info / 'entry_points.txt').write_text(
        '[mm3dpretrain.plugins]\nmine = my_parts\nbroken = no_such_module_anywhere\n'
    )
    (tmp_path / 'my_parts.py').write_text(
        'from torch import nn\n'
        'from mm3dpretrain.registry import MODELS\n'
        '@MODELS.register_module()\n'
        'class PartFromElsewhere(nn.Module):\n'
        '    pass\n'
    )
    code = (
        'from mm3dpretrain.utils import load_plugins\n'
        'from mm3dpretrain.registry import MODELS\n'
        'print(load_plugins(), load_plugins())\n'
        "print(type(MODELS.build(dict(type='PartFromElsewhere'))).__module__)\n"
    )
    run = subprocess.run(
        [sys.executable, '-c', code],
        env={'PYTHONPATH': f'{tmp_path}:{ROOT}', 'PATH': ''},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "['mine'] []" in run.stdout and 'my_parts' in run.stdout.splitlines()[-1]
    assert 'broken' in run.stdout + run.stderr and 'left out' in run.stdout + run.stderr
