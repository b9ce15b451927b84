"""The point renderer: pictures of known shapes, occlusion, gradients, agreement of back-ends."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch
from splat_scenes import FAST, cloud, front_camera, random_scene, sphere

from mm3dpretrain.datasets.mesh_sampling import sample_mesh
from mm3dpretrain.models.renderers import (
    PointSplatRenderer,
    cube_corner_views,
    orbit_views,
    random_views,
)
from mm3dpretrain.ops.rasterize import rasterize_mesh
from mm3dpretrain.registry import RENDERERS
from mm3dpretrain.structures import Cameras

# ------------------------------------------------------------------ pictures of known things


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_asymmetric_cloud_lands_in_the_expected_pixels(backend, projection):
    """No mirror, no upside-down, principal point off the centre, picture not square."""
    focal = 10.0 if projection == 'orthographic' else 20.0
    camera = front_camera((8, 14), focal, projection, centre=(5.0, 3.0))
    # right; up (y down in this camera); down and left
    points = cloud((0.65, 0.05, 2.0), (0.05, -0.25, 2.0), (-0.35, 0.35, 2.0))
    index = PointSplatRenderer(radius=0.5, kernel='disc', backend=backend)(points, camera).index
    expected = torch.full((8, 14), -1)
    expected[3, 11], expected[0, 5], expected[6, 1] = 0, 1, 2
    assert torch.equal(index[0, 0], expected)


@pytest.mark.parametrize('backend', FAST)
def test_front_point_wins_even_with_the_smaller_weight(backend):
    # the near point is off the pixel centre, the far one on it and first in the order
    points = cloud((0.0, 0.0, 3.0), (0.12, 0.0, 1.0))
    features = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    output = PointSplatRenderer(radius=2.0, backend=backend)(points, front_camera(), features)
    assert output.index[0, 0, 4, 4] == 1
    assert output.depth[0, 0, 4, 4].item() == pytest.approx(1.0)
    assert output.features[0, 0, :, 4, 4].tolist() == pytest.approx([0.0, 1.0])
    swapped = PointSplatRenderer(radius=2.0, backend=backend)(
        points.flip(1), front_camera(), features.flip(1)
    )
    assert swapped.index[0, 0, 4, 4] == 0
    assert torch.equal(swapped.depth, output.depth)


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('kernel', ['cosine', 'quadratic', 'gaussian', 'disc'])
def test_footprint_weight_and_extent(backend, kernel):
    renderer = PointSplatRenderer(radius=3.0, kernel=kernel, backend=backend)
    mask = renderer(cloud((0.0, 0.0, 1.0)), front_camera()).mask[0, 0]
    row, column = torch.meshgrid(torch.arange(9) - 4.0, torch.arange(9) - 4.0, indexing='ij')
    distance = (row.square() + column.square()).sqrt() / 3
    weight = dict(
        cosine=0.5 + 0.5 * torch.cos(math.pi * distance),
        quadratic=1 - distance.square(),
        # sigma is a third of the radius; what remains at the radius is taken off
        gaussian=(torch.exp(-4.5 * distance.square()) - math.exp(-4.5)) / (1 - math.exp(-4.5)),
        disc=torch.ones_like(distance),
    )[kernel]
    expected = torch.where(distance < 1, weight, torch.zeros(()))
    assert torch.allclose(mask, expected, atol=1e-6)
    assert mask[4, 7] == 0  # exactly at the radius: outside


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_metre_radius_scales_with_focal_length_and_depth(backend, projection):
    """fx differs from fy: the footprint of a ball is an ellipse."""
    intrinsics = torch.tensor([[40.0, 0, 32.5], [0, 20.0, 32.5], [0, 0, 1]])[None, None]
    camera = Cameras(torch.eye(4)[None, None], intrinsics, (65, 65), projection)
    renderer = PointSplatRenderer(
        radius=0.5, radius_unit='metre', kernel='disc', backend=backend, far=9
    )
    for depth in (1.0, 2.0, 4.0):
        index = renderer(cloud((0.0, 0.0, depth)), camera).index[0, 0]
        scale = 1 / depth if projection == 'perspective' else 1.0
        # pixels strictly closer than the radius on either side of the centre, and the centre
        for line, focal in ((index[32], 40.0), (index[:, 32], 20.0)):
            assert (line == 0).sum() == 2 * math.ceil(focal * 0.5 * scale - 1) + 1


@pytest.mark.parametrize('backend', FAST)
def test_dense_plane_has_its_analytic_depth(backend):
    """The plane z = 2 + 0.3 x - 0.2 y fills the picture."""
    grid = torch.linspace(-1.6, 1.6, 180)
    x, y = torch.meshgrid(grid, grid, indexing='ij')
    points = torch.stack([x, y, 2 + 0.3 * x - 0.2 * y], -1).reshape(1, -1, 3)
    camera = front_camera((40, 60), 60.0)
    renderer = PointSplatRenderer(radius=1.5, depth_tolerance=0.1, backend=backend)
    output = renderer(points, camera)
    assert (output.index >= 0).all()
    assert torch.equal(output.mask, torch.ones_like(output.mask))
    world = camera.unproject(output.depth)
    plane = 2 + 0.3 * world[..., 0] - 0.2 * world[..., 1]
    # the blend leans to the front by less than the slope times the radius, 0.36 * 1.5 * 2 / 60
    assert (world[..., 2] - plane).abs().max() < 0.018
    assert (world[..., 2] - plane).abs().mean() < 0.006


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_dense_sphere_has_its_analytic_depth(backend, projection):
    points = 0.5 * sphere(60000)
    camera = orbit_views(2, 20, 2.0, 48, projection, fov=40, scale=1.4)
    renderer = PointSplatRenderer(radius=1.0, backend=backend)
    output = renderer(points, camera)
    near, far = (torch.full_like(output.depth, d) for d in (1.0, 2.0))
    start = camera.unproject(near)
    ray = camera.unproject(far) - start
    a, b = ray.square().sum(-1), (start * ray).sum(-1)
    discriminant = b.square() - a * (start.square().sum(-1) - 0.25)
    hit = discriminant > 0.02  # leave the grazing rim out
    expected = 1 + (-b - discriminant.clamp(min=0).sqrt()) / a
    assert hit.float().mean() > 0.2
    assert (output.index[hit] >= 0).all() and (output.mask[hit] > 0.99).all()
    assert (output.depth - expected)[hit].abs().max() < 0.06
    assert (output.depth - expected)[hit].abs().mean() < 0.012
    outside = discriminant < -0.1
    assert outside.any() and (output.index[outside] == -1).all()
    assert (output.mask[outside] == 0).all() and (output.depth[outside] == 0).all()


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_agrees_with_the_mesh_rasterizer(projection):
    """Points sampled from an asymmetric mesh, same cameras: same silhouette, same depth."""
    vertices = np.array(
        [[0, 0, 0], [0.8, 0, 0], [0, 0.5, 0], [0, 0, 0.3], [-0.6, -0.4, 0.1]], np.float32
    )
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3], [0, 3, 4], [0, 2, 4]])
    points, _, _ = sample_mesh(vertices, faces, 30000, np.random.default_rng(0))
    cameras = orbit_views(6, 25, image_size=(96, 120), projection=projection)
    _, depth, _ = rasterize_mesh(vertices, faces, cameras)
    expected = torch.from_numpy(np.asarray(depth))
    output = PointSplatRenderer(radius=0.9, depth_tolerance=0.01, far=5)(
        torch.from_numpy(points)[None].float(), cameras
    )
    inside, drawn = expected > 0, output.index[0] >= 0
    both = inside & drawn
    # a footprint reaches less than a pixel beyond the mesh; spikes are thinner than a pixel
    dilated = torch.nn.functional.max_pool2d(inside[:, None].float(), 3, 1, 1)[:, 0] > 0
    assert (drawn & ~dilated).sum() < 0.02 * drawn.sum()
    assert (both.sum((1, 2)) > 0.98 * inside.sum((1, 2))).all() and inside.flatten(1).any(1).all()
    # leave edges out: the nearest of a footprint wins there
    pool = torch.nn.functional.max_pool2d
    step = pool(expected[:, None], 3, 1, 1) + pool(-expected[:, None], 3, 1, 1)
    smooth = inside & (step[:, 0] < 0.1)
    difference = (output.depth[0] - expected).abs()[smooth]
    assert smooth.sum() > 1000
    assert difference.median() < 0.01 and difference.max() < 0.1


@pytest.mark.parametrize('backend', FAST)
def test_points_out_of_view_are_culled(backend):
    renderer = PointSplatRenderer(near=1.0, far=2.0, backend=backend)
    inside = (0.0, 0.0, 1.5)
    outside = [(0.0, 0, 0.99), (0.0, 0, 2.01), (0.0, 0, -1.5), (0.0, 0, 0.0), (90.0, 0, 1.5)]
    alone = renderer(cloud(inside), front_camera())
    # the planes belong to the range
    edges = renderer(cloud((-1e-7, 0.0, 1.0)), front_camera())
    assert (edges.index == 0).any()
    points = cloud(inside, *outside).requires_grad_()
    output = renderer(points, front_camera())
    assert torch.equal(output.depth, alone.depth) and torch.equal(output.mask, alone.mask)
    (output.depth.sum() + output.mask.square().sum()).backward()
    assert torch.isfinite(points.grad).all() and (points.grad[0, 1:] == 0).all()
    assert points.grad[0, 0, 2] != 0


@pytest.mark.parametrize('backend', [*FAST, 'naive'])
def test_empty_pictures(backend):
    renderer = PointSplatRenderer(backend=backend)
    beside = renderer(cloud((50.0, 0.0, 1.0)), front_camera(), torch.ones(1, 1, 4))
    with pytest.warns(UserWarning, match=r'no point lies between near=0.5 and far=3.5.*-1'):
        behind = renderer(cloud((0.0, 0.0, -1.0)), front_camera(), torch.ones(1, 1, 4))
    none = renderer(torch.zeros(1, 0, 3), front_camera(), torch.ones(1, 0, 4))
    for output in (beside, behind, none):
        assert (output.index == -1).all() and (output.depth == 0).all()
        assert (output.mask == 0).all() and (output.features == 0).all()
        assert output.features.shape == (1, 1, 4, 9, 9)


def test_footprints_reach_in_from_outside_the_picture():
    camera = front_camera((9, 9), 9.0)
    output = PointSplatRenderer(radius=3.0)(cloud((0.6, 0.0, 1.0)), camera)  # u = 9.9
    assert output.index[0, 0, 4, 8] == 0 and output.index[0, 0, 4, 7] == 0
    assert output.index[0, 0, 4, 6] == -1


# --------------------------------------------------------------- agreement and invariances


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('kernel', ['cosine', 'quadratic', 'gaussian', 'disc'])
@pytest.mark.parametrize(
    ('unit', 'radius', 'tolerance', 'projection'),
    [
        ('pixel', 2.6, 0.3, 'perspective'),
        ('pixel', 1.7, 0.0, 'orthographic'),
        ('metre', 0.33, 0.2, 'perspective'),
    ],
)
def test_equals_the_naive_twin(backend, kernel, unit, radius, tolerance, projection):
    """Maps and gradients of all inputs, cameras included."""
    points, features = random_scene(num=14)
    views = orbit_views(2, image_size=(9, 12), projection=projection)
    weights = [torch.randn(2, 2, *s, 9, 12, dtype=torch.double) for s in ((), (), (2,))]
    results = []
    for name in (backend, 'naive'):
        extrinsics = views.extrinsics.double().requires_grad_()
        intrinsics = views.intrinsics.double().requires_grad_()
        cameras = Cameras(extrinsics, intrinsics, (9, 12), projection)
        settings = dict(radius=radius, radius_unit=unit, depth_tolerance=tolerance)
        output = PointSplatRenderer(kernel=kernel, backend=name, far=9, **settings)(
            points, cameras, features
        )
        maps = (output.depth, output.mask, output.features)
        loss = sum((w * m).sum() for w, m in zip(weights, maps))
        inputs = (points, features, extrinsics, intrinsics)
        results.append(
            (*maps, output.index, *torch.autograd.grad(loss, inputs, materialize_grads=True))
        )
    assert (results[0][3] >= 0).float().mean() > 0.2
    for ours, naive in zip(*results):
        assert torch.allclose(ours, naive, atol=1e-9)


@pytest.mark.parametrize('seed', range(3))
def test_back_ends_agree_on_many_points(seed):
    generator = torch.Generator().manual_seed(seed)
    cameras = random_views(3, generator, image_size=(50, 70))
    results = []
    for backend in FAST:
        points = 0.4 * torch.randn(2, 700, 3, generator=torch.Generator().manual_seed(seed))
        points.requires_grad_()
        features = points.detach().sin().requires_grad_()
        output = PointSplatRenderer(radius=2.5, backend=backend, far=5)(points, cameras, features)
        loss = output.depth.square().sum() + output.mask.sum() + output.features.square().sum()
        grads = torch.autograd.grad(loss, (points, features))
        results.append((output.index, output.depth, output.mask, output.features, *grads))
    assert torch.equal(results[0][0], results[1][0])
    for ours, other in zip(results[0][1:4], results[1][1:4]):
        assert torch.allclose(ours, other, atol=1e-5)
    for ours, other in zip(results[0][4:], results[1][4:]):
        assert (ours - other).abs().max() < 1e-4 * other.abs().max()


def peer_case(golden, case: str) -> tuple[dict[str, torch.Tensor], Cameras]:
    """Arrays and camera of one case of PyTorch3D's point rasteriser."""
    arrays = {
        k.split('/')[1]: torch.from_numpy(np.asarray(v))
        for k, v in golden('render/points.npz').items()
        if k.startswith(case)
    }
    extrinsics = torch.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = arrays['R'], arrays['t']
    projection = 'perspective' if case.endswith('persp') else 'orthographic'
    size = tuple(arrays['image_hw'].tolist())
    return arrays, Cameras(extrinsics[None, None], arrays['K'][None, None], size, projection)


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('case', ['case0_persp', 'case1_persp', 'case2_ortho'])
def test_nearest_point_equals_pytorch3d(golden, backend, case):
    """A hard disc without blending is PyTorch3D's PointsRasterizer with one point per pixel."""
    arrays, camera = peer_case(golden, case)
    renderer = PointSplatRenderer(
        radius=arrays['radius_pixels'].item(),
        kernel='disc',
        depth_tolerance=0,
        near=0.01,
        far=100,
        backend=backend,
    )
    points = arrays['points'][None].requires_grad_()
    output = renderer(points, camera, arrays['features'][None])
    safe, index = arrays['safe'], arrays['idx'][..., 0].long()
    hit = safe & (index >= 0)
    assert hit.sum() > 50
    assert torch.equal(output.index[0, 0][safe], index[safe])
    assert torch.allclose(output.depth[0, 0][hit], arrays['zbuf'][..., 0][hit], atol=1e-5)
    colour = output.features[0, 0].permute(1, 2, 0)
    assert torch.allclose(colour[safe], arrays['nearest_color'][safe], atol=1e-6)
    assert torch.equal(output.mask[0, 0][safe], (index >= 0).float()[safe])
    output.depth.sum().backward()
    expected = arrays['grad_points_sum_depth']
    assert (points.grad[0] - expected).abs().max() <= 1e-3 * expected.abs().max()


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('case', ['case0_persp', 'case1_persp', 'case2_ortho'])
def test_weighted_sum_equals_pytorch3d(golden, backend, case):
    """The quadratic kernel has its weights 1 - d2 / r2, and a surface as thick as the scene its
    norm-weighted sum, but for the 1 % that the front-most point has in addition here.

    Its list ends after 4 points, so only pixels with fewer can agree. Alpha compositing, where
    weights are opacities, has no counterpart: hidden points would shine through and get gradients.
    """
    arrays, camera = peer_case(golden, case)
    renderer = PointSplatRenderer(
        radius=arrays['radius_pixels'].item(),
        kernel='quadratic',
        depth_tolerance=1e7,
        near=0.01,
        far=100,
        backend=backend,
    )
    output = renderer(arrays['points'][None], camera, arrays['features'][None])
    listed = arrays['idx'] >= 0
    whole = arrays['safe'] & ~listed[..., 3]
    assert (whole & listed[..., 0]).sum() > 50 and (whole & listed[..., 1]).sum() > 5
    weights = (1 - arrays['dist2_ndc'] / arrays['radius_ndc'].square()) * listed
    total = weights.sum(-1)
    mask = output.mask[0, 0]
    assert torch.allclose(mask[whole], total.clamp(max=1)[whole], atol=1e-4)
    hit = whole & listed[..., 0]
    colour = output.features[0, 0].permute(1, 2, 0)
    colour = colour * (total + 0.01)[..., None] - 0.01 * arrays['nearest_color']
    expected = arrays['norm_weighted_chw'].permute(1, 2, 0) * total[..., None]
    assert torch.allclose(colour[hit], expected[hit], atol=1e-4)


@pytest.mark.parametrize('backend', FAST)
def test_order_of_points_and_rest_of_batch_change_nothing(backend):
    points, features = 0.5 * sphere(400, batch=3), torch.rand(3, 400, 3)
    points = points + 0.05 * torch.randn(3, 400, 3)
    cameras = cube_corner_views(48).select_views([0, 3])
    renderer = PointSplatRenderer(backend=backend)
    output = renderer(points, cameras, features)
    alone = renderer(points[1:2], cameras, features[1:2])
    for name in ('depth', 'mask', 'index', 'features'):
        assert torch.equal(getattr(alone, name)[0], getattr(output, name)[1])
    order = torch.randperm(400)
    permuted = renderer(points[:, order], cameras, features[:, order])
    for name in ('depth', 'mask', 'features'):
        assert torch.allclose(getattr(permuted, name), getattr(output, name), atol=2e-6)
    hit = output.index >= 0
    assert torch.equal(permuted.index >= 0, hit)
    assert torch.equal(order[permuted.index[hit]], output.index[hit])


@pytest.mark.parametrize('backend', FAST)
def test_padding_is_ignored_whatever_it_holds(backend):
    points = 0.5 * sphere(60, batch=2)
    points[1, 40:] = float('nan')
    points[1, 45:] = 0.0
    points.requires_grad_()
    cameras, renderer = cube_corner_views(32), PointSplatRenderer(backend=backend)
    output = renderer(points, cameras, torch.ones(2, 60, 1), lengths=torch.tensor([60, 40]))
    alone = renderer(points[1:, :40].detach(), cameras)
    assert torch.equal(output.depth[1], alone.depth[0])
    assert torch.equal(output.index[1], alone.index[0])
    (output.depth.sum() + output.mask.sum()).backward()
    assert (points.grad[1, 40:] == 0).all() and torch.isfinite(points.grad).all()
    assert points.grad[1, :40].abs().sum() > 0


def test_number_of_threads_changes_nothing():
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            points = (0.5 * sphere(200, batch=2)).requires_grad_()
            output = PointSplatRenderer()(points, cube_corner_views(40))
            (output.depth.sum() + output.mask.square().sum()).backward()
            results.append((output.depth, output.mask, points.grad))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_autocast_and_half_precision_keep_float32_maps():
    points, cameras = 0.5 * sphere(100), cube_corner_views(32)
    plain = PointSplatRenderer()(points, cameras, points)
    with torch.autocast('cpu', torch.bfloat16):
        amp = PointSplatRenderer()(points, cameras, points.bfloat16())
    assert torch.equal(plain.depth, amp.depth) and amp.features.dtype == torch.float32
    half = PointSplatRenderer()(points.half(), cameras)
    assert half.depth.dtype == torch.float32


class _Renders(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> torch.Tensor:
        return PointSplatRenderer()(0.5 * sphere(50, seed=i), cube_corner_views(24)).depth


def test_works_in_forked_workers_and_in_concurrent_threads():
    """Both abort the process with numba's own parallel loops."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = [_Renders()[i] for i in range(2)]
        loader = torch.utils.data.DataLoader(
            _Renders(), batch_size=None, num_workers=1, multiprocessing_context='fork', timeout=60
        )
        for found, wanted in zip(loader, expected):
            assert torch.equal(found, wanted)
        found = {}
        threads = [
            threading.Thread(target=lambda i=i: found.update({i: _Renders()[i]})) for i in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert all(torch.equal(found[i], expected[i]) for i in range(2))
    finally:
        torch.set_num_threads(before)


def test_depth_image_is_bounded_and_zero_in_the_background():
    renderer = PointSplatRenderer(near=0.5, far=3.0)
    output = renderer(sphere(300), cube_corner_views(32))
    image = renderer.depth_image(output)
    assert image.min() == 0 and image.max() < 1 and (image[output.index < 0] == 0).all()
    full = output.mask == 1
    assert torch.allclose(image[full], ((3 - output.depth) / 2.5)[full])


# --------------------------------------------------------------------------------- bad input


def test_bad_input_is_refused():
    renderer, camera = PointSplatRenderer(), front_camera()
    points = cloud((0.0, 0.0, 1.0), (0.0, float('inf'), 1.0))
    with pytest.raises(ValueError, match='point 1 of sample 0 is not finite'):
        renderer(points, camera)
    with pytest.raises(ValueError, match=r'points must be \(B, N, 3\)'):
        renderer(torch.zeros(4, 3), camera)
    with pytest.raises(ValueError, match='features must be'):
        renderer(torch.ones(1, 4, 3), camera, torch.ones(1, 5, 3))
    with pytest.raises(ValueError, match='lengths must be'):
        renderer(torch.ones(1, 4, 3), camera, lengths=torch.ones(2, dtype=torch.long))
    with pytest.raises(ValueError, match='cannot expand cameras of batch 2 to 3'):
        renderer(torch.ones(3, 4, 3), Cameras.cat([camera, camera]))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(radius=0), 'radius must be positive, got 0'),
        (dict(radius_unit='cm'), "got 'cm'"),
        (dict(kernel='box'), "got 'box'"),
        (dict(depth_tolerance=-1), 'depth_tolerance must be >= 0'),
        (dict(near=0), 'need 0 < near < far'),
        (dict(near=2, far=1), 'need 0 < near < far'),
        (dict(backend='opengl'), "got 'opengl'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RENDERERS.build(dict(type='PointSplatRenderer', **settings))


@pytest.mark.gpu
def test_gpu_agrees_with_cpu():
    points = (0.5 * sphere(2048, batch=2)).requires_grad_()
    features = torch.rand(2, 2048, 3, requires_grad=True)
    cameras = cube_corner_views(64)
    weight = torch.rand(64, 64)
    grads, maps = [], []
    for device in ('cpu', 'cuda'):
        output = PointSplatRenderer()(points.to(device), cameras, features.to(device))
        loss = sum(
            (weight.to(device) * m).sum() for m in (output.depth, output.mask, output.features)
        )
        grads.append(torch.autograd.grad(loss, (points, features)))
        maps.append((output.depth.cpu(), output.mask.cpu(), output.features.cpu()))
    for ours, other in zip(*maps):
        assert ((ours - other).abs() > 1e-4).float().mean() < 1e-3
    for ours, other in zip(*grads):
        assert torch.nn.functional.cosine_similarity(ours.flatten(), other.flatten(), 0) > 0.999
    with pytest.raises(ValueError, match='needs CPU tensors'):
        PointSplatRenderer(backend='numba')(points.cuda(), cameras)


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('compositing', ['soft', 'max'])
def test_a_batch_of_nothing(backend, compositing):
    renderer = PointSplatRenderer(backend=backend, compositing=compositing)
    output = renderer(torch.zeros(0, 5, 3), orbit_views(2, image_size=(6, 8)), torch.ones(0, 5, 4))
    assert output.depth.shape == (0, 2, 6, 8) and output.features.shape == (0, 2, 4, 6, 8)
