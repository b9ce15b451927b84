"""Maximum compositing: parity with SpareNet's operator and depth renderer, back-ends, training."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from splat_scenes import FAST, cloud, front_camera, random_scene, sphere

from mm3dpretrain.models.losses import DepthRenderLoss
from mm3dpretrain.models.renderers import (
    PointSplatRenderer,
    SpareNetDepthRenderer,
    cube_corner_views,
    orbit_views,
    p2i_max,
    sparenet_views,
)
from mm3dpretrain.registry import MODELS, RENDERERS, TASK_UTILS

BACKENDS = [*FAST, 'naive']
CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


def tensors(arrays: dict, case: str = '') -> dict[str, torch.Tensor]:
    return {
        key.rpartition('/')[2]: torch.from_numpy(np.asarray(value))
        for key, value in arrays.items()
        if key.startswith(case)
    }


# ------------------------------------------------------------------------- reference values


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('case', ['case0', 'case1'])
def test_operator_equals_sparenet(golden, backend, case):
    """Image, winners, gradients of positions, features and background; also non-square."""
    want = tensors(golden('sparenet_p2i/p2i_max.npz'), case)
    height, width = want['background'].shape[-2:]
    inputs = [
        want[k].clone().requires_grad_() for k in ('points_row_col', 'point_features', 'background')
    ]
    position, features, background = inputs
    # its points lie in [-1, 1] from centre to centre of the outermost pixels, row first
    extent = torch.tensor([width - 1, height - 1])
    uv = (position.flip(1) + 1) / 2 * extent + 0.5
    pictures = torch.arange(len(background))
    image, winner = p2i_max(
        uv.expand(len(pictures), -1, -1),
        torch.full((len(pictures), len(uv), 2), 1 / want['radius_pixels'].item()),
        features.expand(len(pictures), -1, -1),
        (height, width),
        valid=want['batch_inds'] == pictures[:, None],
        background=background,
        backend=backend,
    )
    assert torch.equal(winner, want['winner'])
    assert (image - want['out']).abs().max() < 2e-6
    grads = torch.autograd.grad((image * want['weight']).sum(), inputs)
    for grad, name in zip(grads, ('points', 'features', 'background')):
        expected = want[f'grad_{name}']
        assert (grad - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('name', ['orthorgonal', 'perspective'])
def test_depth_maps_equal_sparenet(golden, backend, name):
    """All views and radii of a batch; gradients, which flow through the batch's extremes too."""
    want = tensors(golden(f'sparenet_p2i/depth_maps_{name}.npz'))
    size, radii = want['depth_maps'].shape[-1], tuple(want['radius_list'].tolist())
    cameras = sparenet_views(size, 'perspective' if name == 'perspective' else 'orthographic')
    eyes = want['eyes'] * want['eyepos_scale']
    assert torch.allclose(cameras.centers[0], eyes, atol=1e-6)
    points = want['points'].requires_grad_()
    renderer = SpareNetDepthRenderer(radii, backend=backend)
    picture = renderer.depth_image(renderer(points, cameras))
    # views V x batch B x radii R there, B x (V R) here
    expected = want['depth_maps'].transpose(0, 1).flatten(1, 2)
    assert (picture - expected).abs().max() < 3e-5
    view3 = picture.unflatten(1, (8, len(radii)))[:, 3]
    (grad,) = torch.autograd.grad((view3 * want['grad_weight']).sum(), points)
    expected = want['grad_points_view3']
    assert (grad - expected).abs().max() < 3e-5 * expected.abs().max()


def test_reference_settings_in_one_line():
    """Eight orthographic corner views of 256 x 256, radii 5, 7 and 10, into DRPoint's config."""
    path = CONFIGS / '_base_' / 'models' / 'drpoint_pointtransformer_sparenet-renderer.py'
    model = Config.fromfile(path).model
    renderer, cameras = RENDERERS.build(model.renderer), TASK_UTILS.build(model.views)()
    assert isinstance(renderer, SpareNetDepthRenderer) and renderer.radii == (5.0, 7.0, 10.0)
    assert (renderer.kernel, renderer.compositing) == ('cosine', 'max')
    assert cameras.num_views == 8 and cameras.image_size == (256, 256)
    assert cameras.projection == 'orthographic'
    assert cameras.centers.abs().allclose(torch.ones(1), atol=1e-6)
    # clip coordinates of +-1 lie on the centres of the outermost pixels
    right = cameras.extrinsics[0, 0, 0, :3] / 1.5
    uv, _ = cameras.select_views(0).project(torch.stack([right, -right])[None])
    assert torch.allclose(uv[0, 0, :, 0], torch.tensor([255.5, 0.5]), atol=1e-3)
    with torch.no_grad():
        picture = renderer.depth_image(renderer(0.5 * sphere(200), cameras))
    assert picture.shape == (1, 24, 256, 256)
    assert picture.min() == 0 and 0.8 < picture.max() <= 1


# ----------------------------------------------------------------- agreement and gradients


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('kernel', ['cosine', 'quadratic', 'gaussian', 'disc'])
def test_equals_the_naive_twin(backend, kernel):
    points, features = random_scene(num=14)
    features = features.detach().sub(0.3).requires_grad_()  # some are below the background
    views = orbit_views(2, image_size=(9, 12)).to(torch.double)
    weights = [torch.randn(2, 2, *s, 9, 12, dtype=torch.double) for s in ((), (), (2,))]
    results = []
    for name in (backend, 'naive'):
        renderer = PointSplatRenderer(2.6, kernel=kernel, backend=name, far=9, compositing='max')
        output = renderer(points, views, features)
        maps = (output.depth, output.mask, output.features)
        loss = sum((w * m).sum() for w, m in zip(weights, maps))
        grads = torch.autograd.grad(loss, (points, features))
        results.append((*maps, output.index, *grads))
    assert (results[0][3] >= 0).float().mean() > 0.2
    for ours, naive in zip(*results):
        assert torch.allclose(ours, naive, atol=1e-9)


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('unit', ['pixel', 'metre'])
def test_gradients_equal_finite_differences(backend, unit):
    points, features = random_scene(num=7)
    cameras = orbit_views(2, image_size=(14, 18))
    weights = torch.randn(4, 2, 2, 1, 14, 18, dtype=torch.double)
    renderer = PointSplatRenderer(
        radius=3.0 if unit == 'pixel' else 0.4,
        radius_unit=unit,
        far=9,
        backend=backend,
        compositing='max',
    )

    def sums(points, features):
        output = renderer(points, cameras, features)
        picture = renderer.depth_image(output)
        maps = torch.cat([picture[:, :, None], output.features], 2)
        return (weights * maps).sum((1, 2, 4, 5))

    assert torch.autograd.gradcheck(sums, (points, features), eps=1e-7, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('backend', FAST)
def test_gradients_of_the_batch_wide_nearness(backend):
    points, _ = random_scene(num=6)
    cameras = orbit_views(2, image_size=(14, 18))
    renderer = SpareNetDepthRenderer((2.0, 3.0), backend=backend)
    weights = torch.randn(2, 2, 4, 14, 18, dtype=torch.double)

    def sums(points):
        return (weights * renderer.depth_image(renderer(points, cameras))).sum((1, 2, 3, 4))

    assert torch.autograd.gradcheck(sums, (points,), eps=1e-7, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('backend', BACKENDS)
def test_value_of_each_pixel_is_the_largest_product(backend):
    """By hand: a near point beside a far one; in the middle the nearer one wins."""
    points = cloud((-0.1, 0.0, 1.0), (0.1, 0.0, 2.0))
    camera = front_camera((1, 9), 10.0, 'orthographic')
    renderer = PointSplatRenderer(
        3.0, kernel='quadratic', near=0.5, far=3.0, backend=backend, compositing='max'
    )
    output = renderer(points, camera, torch.tensor([[[1.0], [4.0]]]))
    column = torch.arange(9) + 0.5
    weights = torch.stack([1 - (column - c).square() / 9 for c in (3.5, 5.5)]).clamp(min=0)
    products = weights * torch.tensor([[0.8], [0.4]])  # nearness (3 - z) / 2.5
    value, winner = products.max(0)
    picture = renderer.depth_image(output)[0, 0, 0]
    assert torch.allclose(picture, value, atol=1e-6)
    winner[value == 0] = -1
    assert torch.equal(output.index[0, 0, 0], winner)
    assert set(winner.tolist()) == {-1, 0, 1}
    depth = torch.tensor([1.0, 2.0, 0.0])[winner]
    assert torch.allclose(output.depth[0, 0, 0], depth)
    # features have winners of their own
    expected = (weights * torch.tensor([[1.0], [4.0]])).amax(0)
    assert torch.allclose(output.features[0, 0, 0, 0], expected, atol=1e-6)


@pytest.mark.parametrize('backend', FAST)
def test_only_winners_get_gradient(backend):
    points = (0.5 * sphere(300)).requires_grad_()
    renderer = PointSplatRenderer(backend=backend, compositing='max')
    output = renderer(points, cube_corner_views(32).select_views(0))
    (renderer.depth_image(output) * torch.rand(32, 32)).sum().backward()
    won = torch.zeros(300, dtype=torch.bool)
    won[output.index[output.index >= 0]] = True
    assert 20 < won.sum() < 280
    assert (points.grad[0, ~won] == 0).all()
    assert points.grad[0, won].norm(dim=-1).min() > 0


@pytest.mark.parametrize('backend', FAST)
def test_order_padding_and_ties(backend):
    points, cameras = 0.5 * sphere(60, batch=2), cube_corner_views(32)
    points[1, 40:] = float('nan')
    renderer = PointSplatRenderer(backend=backend, compositing='max')
    output = renderer(points, cameras, torch.ones(2, 60, 1), lengths=torch.tensor([60, 40]))
    order = torch.randperm(40)
    alone = renderer(points[1:, order], cameras)
    assert torch.equal(output.depth[1], alone.depth[0])
    hit = output.index[1] >= 0
    assert torch.equal(order[alone.index[0][hit]], output.index[1][hit])
    twice = renderer(points[:1].repeat_interleave(2, 1), cameras)
    assert torch.equal(twice.depth, output.depth[:1])
    assert (twice.index[twice.index >= 0] % 2 == 0).all()


@pytest.mark.parametrize('backend', BACKENDS)
def test_empty_pictures(backend):
    for renderer in (
        PointSplatRenderer(backend=backend, compositing='max'),
        SpareNetDepthRenderer((2.0,), backend=backend),
    ):
        for points in (cloud((50.0, 0.0, 1.0)), cloud((0.0, 0.0, -1.0)), torch.zeros(1, 0, 3)):
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                output = renderer(points, front_camera(), torch.ones(1, points.shape[1], 2))
            assert (output.index == -1).all() and (output.depth == 0).all()
            assert (output.mask == 0).all() and (output.features == 0).all()
            assert (renderer.depth_image(output) == 0).all()


def test_nearness_spans_the_whole_batch():
    """What distinguishes the reference from our default, and why it is not the default."""
    cameras = sparenet_views(32)
    a, b = 0.4 * sphere(100, seed=1), 0.2 * sphere(100, seed=2)
    renderer = SpareNetDepthRenderer((3.0,))
    alone, together = renderer(b, cameras), renderer(torch.cat([a, b]), cameras)
    assert torch.allclose(alone.picture.amax((2, 3)), torch.ones(1, 8), atol=0.1)
    assert (together.picture[1].amax((1, 2)) < 0.85).all()
    # one depth for all: the reference divides by zero
    flat = renderer(cloud((0.0, 0.0, 0.0)), cameras)
    assert flat.picture.isfinite().all() and flat.picture.max() > 0.8


# --------------------------------------------------------------------------- use and misuse


def test_loss_step_as_the_renderer_of_a_depth_loss():
    """What DR-Point does with a renderer: the truth without, the reconstruction with gradients."""
    renderer, cameras = SpareNetDepthRenderer((2.0, 3.0)), sparenet_views(48)
    truth = 0.4 * sphere(256, seed=1)
    cloud = (truth + 0.05 * torch.randn(truth.shape)).requires_grad_()
    optimizer = torch.optim.Adam([cloud], lr=0.003)
    losses = []
    with torch.no_grad():
        target = renderer.depth_image(renderer(truth, cameras))
    for _ in range(12):
        picture = renderer.depth_image(renderer(cloud, cameras))
        losses.append(DepthRenderLoss()(picture, target))
        optimizer.zero_grad()
        losses[-1].backward()
        assert torch.isfinite(cloud.grad).all()
        optimizer.step()
    assert losses[-1] < 0.85 * losses[0]


def test_one_step_of_drpoint():
    """Reconstruct, render all radii of two views, compare, send gradients to the decoder."""
    model = MODELS.build(
        dict(
            type='DRPoint',
            data_preprocessor=dict(type='PretrainDataPreprocessor', mean=[0] * 3, std=[1] * 3),
            point_encoder=dict(
                type='PointTransformer',
                num_groups=8,
                group_size=8,
                encoder_dim=16,
                embed_dim=24,
                depth=1,
                num_heads=2,
                hidden_dims=(8, 16, 16),
            ),
            token_head=dict(type='MaskedTokenHead', in_channels=24, num_tokens=32),
            point_decoder=dict(
                type='PointDecoder', embed_dim=24, depth=1, num_heads=2, group_size=8
            ),
            renderer=dict(type='SpareNetDepthRenderer'),
            views=dict(type='SpareNetViews', image_size=32),
            num_views=2,
            loss_weights=dict(dr=1.0),
        )
    )
    losses = model.loss(dict(points=torch.rand(3, 64, 3) - 0.5))
    assert set(losses) == {'loss_dr'} and 0 < losses['loss_dr'] < 1
    losses['loss_dr'].backward()
    gradients = [p.grad for p in model.point_decoder.parameters() if p.requires_grad]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert sum(g.abs().sum() for g in gradients) > 0
    pictures = model.reconstruct(torch.rand(1, 64, 3) - 0.5)
    assert pictures['depth'].shape == (1, 8 * 3, 32, 32)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="compositing must be one of .* got 'min'"):
        PointSplatRenderer(compositing='min')
    with pytest.raises(ValueError, match=r'knows no depth_tolerance, got 0\.1'):
        PointSplatRenderer(compositing='max', depth_tolerance=0.1)
    with pytest.raises(ValueError, match='at least one radius'):
        SpareNetDepthRenderer(radii=())
    with pytest.raises(ValueError, match='radius must be positive, got -3'):
        SpareNetDepthRenderer(radii=(5, -3))
    assert 'radii=(5.0, 7.0, 10.0)' in repr(SpareNetDepthRenderer())
    assert 'max' in repr(PointSplatRenderer(compositing='max'))


@pytest.mark.gpu
def test_gpu_agrees_with_cpu():
    points, cameras = (0.5 * sphere(2048, batch=2)).requires_grad_(), sparenet_views(64)
    renderer, results = SpareNetDepthRenderer(), []
    weight = torch.rand(64, 64)
    for device in ('cpu', 'cuda'):
        picture = renderer.depth_image(renderer(points.to(device), cameras))
        (grad,) = torch.autograd.grad((picture * weight.to(device)).sum(), points)
        results.append((picture.detach().cpu(), grad))
    assert (results[0][0] - results[1][0]).abs().max() < 1e-4
    assert torch.nn.functional.cosine_similarity(*(r[1].flatten() for r in results), 0) > 0.999
