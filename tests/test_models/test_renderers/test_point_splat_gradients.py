"""Gradients of the point renderer: exact, zero for what is hidden, useful for training."""

from __future__ import annotations

import pytest
import torch
from splat_scenes import FAST, chamfer, cloud, front_camera, random_scene, sphere

from mm3dpretrain.models.renderers import PointSplatRenderer, cube_corner_views, orbit_views


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('kernel', ['cosine', 'quadratic', 'gaussian'])
@pytest.mark.parametrize(
    ('unit', 'radius', 'tolerance', 'projection'),
    [
        ('pixel', 3.0, 0.3, 'perspective'),
        ('pixel', 2.0, 0.0, 'orthographic'),
        ('metre', 0.4, 0.3, 'perspective'),
        ('metre', 0.4, 0.3, 'orthographic'),
    ],
)
def test_gradients_equal_finite_differences(backend, kernel, unit, radius, tolerance, projection):
    points, features = random_scene(num=7)
    cameras = orbit_views(2, image_size=(14, 18), projection=projection)
    weights = torch.randn(4, 2, 2, 1, 14, 18, dtype=torch.double)
    renderer = PointSplatRenderer(
        radius=radius,
        radius_unit=unit,
        kernel=kernel,
        depth_tolerance=tolerance,
        far=9,
        backend=backend,
    )

    def sums(points, features):
        output = renderer(points, cameras, features)
        maps = torch.cat([output.depth[:, :, None], output.mask[:, :, None], output.features], 2)
        return (weights * maps).sum((1, 2, 4, 5))  # 4 random sums of each map

    assert torch.autograd.gradcheck(sums, (points, features), eps=1e-7, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('backend', FAST)
def test_hidden_points_get_no_gradient_and_visible_ones_do(backend):
    """A wall of points in front of a second one."""
    grid = torch.linspace(-0.6, 0.6, 13)
    x, y = (g.reshape(-1) for g in torch.meshgrid(grid, grid, indexing='ij'))
    wall = torch.stack([x, y, torch.ones_like(x)], -1)
    wall = wall + 0.01 * torch.randn(wall.shape)
    inner = (x.abs() < 0.35) & (y.abs() < 0.35)
    points = torch.cat([wall, (wall * 2)[inner]])[None].requires_grad_()
    features = torch.rand(1, points.shape[1], 3, requires_grad=True)
    output = PointSplatRenderer(radius=2.5, backend=backend)(
        points, front_camera((25, 25), 15.0), features
    )
    assert set(output.index.unique().tolist()) <= {-1, *range(len(wall))}
    weight = torch.rand(25, 25)
    maps = (output.depth, output.mask, output.features.square())
    sum((weight * m).sum() for m in maps).backward()
    assert (points.grad[0, len(wall) :] == 0).all() and (features.grad[0, len(wall) :] == 0).all()
    winners = output.index.unique()
    winners = winners[winners >= 0]
    assert len(winners) > 40
    assert (points.grad[0, winners] != 0).all()  # in all three axes
    assert (features.grad[0, winners] > 0).all()


@pytest.mark.parametrize('backend', FAST)
def test_mask_pulls_a_point_sideways(backend):
    """The silhouette's gradient has the direction that finite differences have, by hand."""
    points = cloud((0.0, 0.0, 1.0)).requires_grad_()
    mask = PointSplatRenderer(backend=backend)(points, front_camera()).mask
    mask[..., 5:].sum().backward()  # covering the right half more means going right
    assert points.grad[0, 0, 0] > 0
    assert points.grad[0, 0, 1].abs() < 1e-5


@pytest.mark.parametrize('backend', FAST)
def test_duplicate_points_are_harmless(backend):
    points = cloud(*[(0.0, 0.0, 1.0)] * 3).requires_grad_()
    output = PointSplatRenderer(backend=backend)(points, front_camera(), torch.ones(1, 3, 1))
    single = PointSplatRenderer(backend=backend)(points[:, :1], front_camera())
    assert torch.equal(output.index, single.index)
    assert torch.allclose(output.depth, single.depth)
    (output.depth.square().sum() + output.mask.sum() + output.features.sum()).backward()
    assert torch.isfinite(points.grad).all()


def test_depth_loss_alone_moves_a_noisy_sphere_to_the_sphere():
    truth = 0.8 * sphere(512, seed=1)
    points = truth + 0.1 * torch.randn(1, 512, 3, generator=torch.Generator().manual_seed(2))
    points.requires_grad_()
    renderer, cameras = PointSplatRenderer(), cube_corner_views(48)
    with torch.no_grad():
        target = renderer.depth_image(renderer(truth, cameras))
    optimizer = torch.optim.Adam([points], lr=0.01)
    before = chamfer(points.detach(), truth)
    for _ in range(40):
        loss = (renderer.depth_image(renderer(points, cameras)) - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert chamfer(points.detach(), truth) < 0.7 * before
