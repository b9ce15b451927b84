"""One suite for all renderers: the same scenes must look the same, and right, through each."""

from __future__ import annotations

import math

import pytest
import torch
from mesh_scenes import (
    DRAWERS,
    MESH_DRAWERS,
    Drawer,
    box,
    camera,
    height_field,
    join,
    pixel_rays,
    quad,
    sphere,
    square,
    three_arms,
)

from mm3dpretrain.models.renderers import (
    cap_views,
    cube_corner_views,
    icosahedron_views,
    orbit_views,
    random_views,
    sparenet_views,
)
from mm3dpretrain.structures import Cameras, Meshes, look_at

PROJECTIONS = ['perspective', 'orthographic']
every_renderer = pytest.mark.parametrize('drawer', DRAWERS)
every_mesh_renderer = pytest.mark.parametrize('drawer', MESH_DRAWERS)


def odd_camera(projection: str, distance: float = 3.0) -> Cameras:
    """Not square in any respect: picture, pixels and principal point."""
    focal = (58.0, 66.0) if projection == 'perspective' else (22.0, 25.0)
    return camera((48, 64), focal, (27.0, 26.5), projection, distance)


def covered(output, view: int = 0) -> torch.Tensor:
    return output.index[0, view] >= 0


def shrunk(mask: torch.Tensor, by: int = 2) -> torch.Tensor:
    """Pixels whose whole neighbourhood is in the mask."""
    inverse = (~mask).float()[None, None]
    return torch.nn.functional.max_pool2d(inverse, 2 * by + 1, 1, by)[0, 0] == 0


# Analytic depth


@every_renderer
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_tilted_plane(drawer: Drawer, projection):
    corners = [[x, y, 0.3 * x - 0.2 * y] for x, y in [(-3, -3), (-3, 3), (3, 3), (3, -3)]]
    cameras = odd_camera(projection)
    out = drawer.draw([quad(corners)], cameras, num_points=60000)
    x, y, _ = pixel_rays(cameras).unbind(-1)
    expected = 3 / (1 - 0.3 * x + 0.2 * y)
    if projection == 'orthographic':
        expected = 3 + 0.3 * x - 0.2 * y
    seen = covered(out)
    assert seen.float().mean() > (0.9999 if drawer.on_mesh else 0.995)
    depth = out.depth[0, 0].double()
    torch.testing.assert_close(depth[seen], expected[seen], atol=drawer.tolerance, rtol=0)


@every_renderer
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_sphere(drawer: Drawer, projection):
    cameras = odd_camera(projection)
    out = drawer.draw([sphere(3)], cameras)
    ray = pixel_rays(cameras)
    a, b, c = ray.square().sum(-1), -6 * ray[..., 2], 8.0
    root = b.square() - 4 * a * c
    expected = (-b - root.clamp(min=0).sqrt()) / (2 * a)
    if projection == 'orthographic':
        root = 1 - ray[..., :2].square().sum(-1)
        expected = 3 - root.clamp(min=0).sqrt()
    # the corners of the faces lie on the sphere, their middle 0.005 below it
    assert (covered(out) == (root > 0)).float().mean() > 0.955
    inside = shrunk(root > 0) & shrunk(covered(out))
    assert inside.sum() > 500
    error = (out.depth[0, 0].double() - expected)[inside].abs()
    assert error.mean() < (0.01 if drawer.on_mesh else 0.02)
    assert error.max() < (0.06 if drawer.on_mesh else 0.15)


@every_renderer
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_box(drawer: Drawer, projection):
    cameras = odd_camera(projection)
    out = drawer.draw([box([-0.5, -0.4, -0.3], [0.4, 0.6, 0.3])], cameras)
    ray = pixel_rays(cameras)
    front = ray[..., :2] * (2.7 if projection == 'perspective' else 1.0)
    low, high = torch.tensor([-0.5, -0.4]).double(), torch.tensor([0.4, 0.6]).double()
    face = ((front > low) & (front < high)).all(-1)
    depth = out.depth[0, 0].double()
    # a pixel centre of the outermost row lies closer to the edge than single precision resolves
    assert covered(out)[shrunk(face)].all() and face.sum() > 300
    torch.testing.assert_close(
        depth[shrunk(face)], torch.full_like(depth[shrunk(face)], 2.7),
        atol=drawer.tolerance, rtol=0,
    )  # fmt: skip
    # its sides are not seen: nothing reaches beyond the front face, but for the points' radius
    assert not (covered(out) & shrunk(~face)).any()


@every_renderer
def test_pixels_without_geometry_are_background(drawer: Drawer):
    out = drawer.draw([square(3.0, 0.3)], odd_camera('perspective', 0.0), [torch.ones(4, 2)])
    background = ~covered(out)
    assert background.any() and covered(out).any()
    assert (out.depth[0, 0][background] == 0).all() and (out.index[0, 0][background] == -1).all()
    assert (out.features[0, 0][:, background] == 0).all()
    assert (out.mask[0, 0][background] == 0).all() and out.mask.max() <= 1
    assert (out.depth[0, 0][~background] > 0).all()


# Occlusion and winding


@every_renderer
@pytest.mark.parametrize('near_first', [True, False])
def test_the_nearer_surface_hides_the_other(drawer: Drawer, near_first):
    near, far = square(2.0, 0.5), square(4.0, 2.0)
    parts = [near, far] if near_first else [far, near]
    colors = [[1.0, 0.0], [0.0, 1.0]] if near_first else [[0.0, 1.0], [1.0, 0.0]]
    colors = torch.tensor(colors).repeat_interleave(4, 0)
    cameras = odd_camera('perspective', 0.0)
    out = drawer.draw([join(*parts)], cameras, [colors], num_points=60000)
    front = (pixel_rays(cameras)[..., :2].abs() * 2 < 0.5).all(-1)
    depth, features = out.depth[0, 0], out.features[0, 0]
    inner, outer = shrunk(front), shrunk(~front) & shrunk(covered(out))
    assert inner.sum() > 300 and outer.sum() > 300
    assert (depth[inner] - 2).abs().max() < drawer.tolerance
    assert (depth[outer] - 4).abs().max() < drawer.tolerance
    assert (features[0][inner] - 1).abs().max() < 1e-5
    assert (features[1][outer] - 1).abs().max() < 1e-5
    if drawer.on_mesh:
        first = 0 if near_first else 2
        assert set(out.index[0, 0][inner].tolist()) == {first, first + 1}


@every_mesh_renderer
@pytest.mark.parametrize('projection', PROJECTIONS)
@pytest.mark.parametrize('mirrored', [None, 'focal', 'rotation'])
def test_back_faces(drawer: Drawer, projection, mirrored):
    cameras = odd_camera(projection)
    if mirrored == 'focal':
        matrix = cameras.intrinsics * torch.tensor([-1.0, 1, 1])[:, None]
        matrix[..., 2] = cameras.intrinsics[..., 2]
        cameras = Cameras(cameras.extrinsics, matrix, cameras.image_size, projection)
    elif mirrored == 'rotation':
        flip = torch.diag(torch.tensor([-1.0, 1, 1, 1]))
        cameras = Cameras(
            cameras.extrinsics @ flip, cameras.intrinsics, cameras.image_size, projection
        )
    vertices, faces = box([-0.5] * 3, [0.5] * 3)
    both = drawer.draw([(vertices, faces)], cameras)
    front = drawer.draw([(vertices, faces)], cameras, back_faces=False)
    turned = drawer.draw([(vertices, faces.flip(1))], cameras, back_faces=False)
    # from outside, the back faces of a closed mesh are hidden anyway
    torch.testing.assert_close(front.index, both.index)
    torch.testing.assert_close(front.depth, both.depth)
    # turned inside out, the far side of the box is seen
    middle = turned.depth[0, 0][24:28, 24:28]
    torch.testing.assert_close(middle, torch.full_like(middle, 3.5), atol=1e-4, rtol=0)
    # with both sides drawn, the winding makes no difference
    torch.testing.assert_close(drawer.draw([(vertices, faces.flip(1))], cameras).depth, both.depth)


# Where things are


@every_renderer
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_principal_point_and_focal_lengths(drawer: Drawer, projection):
    size, focal, centre = (40, 60), (30.0, 24.0), (41.0, 13.0)
    cameras = camera(size, focal, centre, projection)
    x, y, depth, half = -0.4, 0.3, 2.0, 0.25
    mask = covered(drawer.draw([square(depth, half, x, y)], cameras)).double()
    rows, columns = torch.arange(40) + 0.5, torch.arange(60) + 0.5
    scale = 1 / depth if projection == 'perspective' else 1.0
    area = mask.sum()
    assert abs((mask.sum(0) * columns).sum() / area - (focal[0] * x * scale + centre[0])) < 0.501
    assert abs((mask.sum(1) * rows).sum() / area - (focal[1] * y * scale + centre[1])) < 0.501
    # a splat of radius 1 reaches beyond the edge by less than that on every side
    for lines, f in ((mask.any(0), focal[0]), (mask.any(1), focal[1])):
        extent = 2 * half * f * scale
        assert -1.01 < lines.sum() - extent < (1.01 if drawer.on_mesh else 3.01)


@every_renderer
def test_skew(drawer: Drawer):
    cameras = camera((40, 60), (20.0, 20.0), (30.0, 20.0), skew=10.0)
    mask = covered(drawer.draw([square(2.0, 1.0)], cameras))
    upper, lower = (
        (mask[i].double() * (torch.arange(60) + 0.5)).sum() / mask[i].sum() for i in (12, 27)
    )
    assert abs(lower - upper - 10.0 * 15 / 20) < 0.6


VIEW_SETS = {
    'orbit': lambda: orbit_views(5, elevation=35.0, image_size=(64, 72)),
    'orbit-z': lambda: orbit_views(3, elevation=-20.0, image_size=64, up_axis='z'),
    'corners': lambda: cube_corner_views((72, 64)),
    'icosahedron': lambda: icosahedron_views(image_size=64),
    'cap': lambda: cap_views(4, torch.Generator().manual_seed(2), image_size=64),
    'random': lambda: random_views(4, torch.Generator().manual_seed(1), image_size=64),
    'sparenet': lambda: sparenet_views(64, scale=1.0),
    'given': lambda: Cameras(
        look_at(torch.tensor([[2.0, 1.0, 1.5], [-1.0, -2.5, 1.0]]), up=torch.tensor([1.0, 0, 0]))[
            None
        ],
        torch.tensor([[70.0, 0, 32], [0, 70, 32], [0, 0, 1]]).expand(1, 2, 3, 3),
        (64, 64),
    ),
}
UP = {'orbit-z': 2, 'sparenet': 2, 'given': 0}


@every_renderer
@pytest.mark.parametrize('views', list(VIEW_SETS))
def test_no_view_is_mirrored_or_upside_down(drawer: Drawer, views):
    mesh, colors = three_arms()
    cameras = VIEW_SETS[views]()
    out = drawer.draw([mesh], cameras, [colors], num_points=12000)
    height, width = cameras.image_size
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing='ij')
    # the picture of an axis, from nothing but where the eye is and what is up
    up = torch.eye(3)[UP.get(views, 1)]
    compared = 0
    for view in range(cameras.num_views):
        rotation, shift = cameras.extrinsics[0, view, :3, :3], cameras.extrinsics[0, view, :3, 3]
        toward = -rotation.T @ shift
        toward = toward / toward.norm()
        right = torch.linalg.cross(up, toward)
        right = right / right.norm()
        above = torch.linalg.cross(toward, right)
        for axis in range(3):
            arm = out.features[0, view, axis] > 0.9
            expected = torch.stack([right[axis], -above[axis]])
            if expected.norm() < 0.35 or arm.sum() < 12:
                continue  # points at the eye, or is hidden
            seen = torch.stack([u[arm].mean() - width / 2, v[arm].mean() - height / 2])
            cosine = (seen @ expected) / (seen.norm() * expected.norm())
            assert cosine > 0.9, (view, axis)
            compared += 1
    assert compared >= 1.5 * cameras.num_views


# Gradients


def height_field_loss(drawer: Drawer, projection):
    """A scalar of depth and features of a sheet that fills the picture, and its arguments.

    No silhouette, no occlusion: depth is continuous in everything.
    """
    vertices, faces = height_field()
    focal = 8.0 if projection == 'perspective' else 3.5
    cameras = camera((9, 11), (focal, 1.1 * focal), (5.2, 4.6), projection, 3.0).to(torch.float64)
    generator = torch.Generator().manual_seed(4)
    colors = torch.rand(1, len(vertices), 2, generator=generator, dtype=torch.float64)
    weights = torch.rand(3, 9, 11, generator=generator, dtype=torch.float64)
    renderer = drawer.renderer()
    if not drawer.on_mesh:
        renderer.radius, renderer.depth_tolerance = 3.0, 1.0

    def loss(positions, values, extrinsics):
        seen = Cameras(extrinsics, cameras.intrinsics, cameras.image_size, projection)
        geometry = Meshes(positions, faces[None]) if drawer.on_mesh else positions
        out = renderer(geometry, seen, values)
        assert (out.index >= 0).all()
        return (out.depth[0, 0] * weights[0]).sum() + (out.features[0, 0] * weights[1:]).sum()

    return loss, (vertices[None], colors, cameras.extrinsics)


@pytest.mark.parametrize('drawer', DRAWERS[:4])
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_gradients_against_finite_differences(drawer: Drawer, projection):
    loss, arguments = height_field_loss(drawer, projection)
    leaves = [a.clone().requires_grad_() for a in arguments]
    gradients = torch.autograd.grad(loss(*leaves), leaves)
    step = 1e-6
    for which, gradient in enumerate(gradients):
        assert gradient.abs().max() > 0.1
        picked = torch.topk(gradient.abs().flatten(), min(12, gradient.numel())).indices
        for entry in picked.tolist():
            values = []
            for sign in (1, -1):
                moved = [a.clone() for a in arguments]
                moved[which].view(-1)[entry] += sign * step
                values.append(loss(*moved).item())
            numeric = (values[0] - values[1]) / (2 * step)
            assert gradient.flatten()[entry].item() == pytest.approx(numeric, rel=2e-4, abs=2e-4)


# Independence


def different_meshes():
    arms, colors = three_arms()
    meshes = [sphere(1), arms, box([-0.4, -0.3, -0.5], [0.4, 0.3, 0.1])]
    shades = [torch.rand(len(meshes[0][0]), 3), colors, torch.rand(8, 3)]
    return meshes, shades


@every_renderer
def test_a_sample_looks_the_same_alone_and_in_a_batch(drawer: Drawer):
    meshes, colors = different_meshes()
    cameras = orbit_views(2, image_size=(40, 48))
    together = drawer.draw(meshes, cameras, colors, num_points=2000)
    for sample in range(3):
        alone = [meshes[sample]], cameras, [colors[sample]]
        out = drawer.draw(*alone, num_points=2000 + (0 if drawer.on_mesh else 100 * sample))
        for name in ('depth', 'mask', 'index', 'features'):
            torch.testing.assert_close(
                getattr(out, name)[0], getattr(together, name)[sample], atol=0, rtol=0
            )


@every_renderer
def test_views_do_not_depend_on_each_other(drawer: Drawer):
    meshes, colors = different_meshes()
    cameras = orbit_views(4, image_size=(40, 48))
    order = [2, 0, 3]
    everything = drawer.draw(meshes, cameras, colors, num_points=2000)
    some = drawer.draw(meshes, cameras.select_views(order), colors, num_points=2000)
    for name in ('depth', 'mask', 'index', 'features'):
        expected = getattr(everything, name)[:, order]
        torch.testing.assert_close(getattr(some, name), expected, atol=0, rtol=0)


@every_renderer
def test_two_runs_are_equal_to_the_bit(drawer: Drawer):
    loss, arguments = height_field_loss(drawer, 'perspective')
    results = []
    for _ in range(2):
        if drawer.kind == 'kaolin':  # its backward adds in any order
            out = drawer.draw([sphere(2)], odd_camera('perspective'))
            results.append([out.depth, out.index])
            continue
        leaves = [a.clone().requires_grad_() for a in arguments]
        value = loss(*leaves)
        results.append([value.detach(), *torch.autograd.grad(value, leaves)])
    for first, second in zip(*results):
        assert torch.equal(first, second)


# Nothing to see


@every_renderer
@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('what', ['empty', 'off-screen', 'behind', 'too near', 'too far'])
def test_nothing_in_sight_gives_an_empty_picture(drawer: Drawer, what):
    mesh = {
        'empty': (torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)),
        'off-screen': square(3.0, 0.5, x=40.0),
        'behind': square(-3.0, 0.5),
        'too near': square(0.05, 0.5),
        'too far': square(30.0, 0.5),
    }[what]
    out = drawer.draw([mesh], odd_camera('perspective', 0.0))
    assert (out.index == -1).all() and (out.depth == 0).all() and (out.mask == 0).all()


@every_renderer
@pytest.mark.parametrize('projection', PROJECTIONS)
def test_geometry_around_the_camera_is_cut_at_the_near_plane(drawer: Drawer, projection):
    """A ground that runs under and behind the camera."""
    ground = quad([[-8, 1, -8], [-8, 1, 8], [8, 1, 8], [8, 1, -8]])
    cameras = odd_camera(projection, 0.0)
    out = drawer.draw([ground], cameras, num_points=100000)
    if projection == 'orthographic':  # seen edge-on: a line, if anything
        assert covered(out).sum() <= 3 * 64
        return
    y = pixel_rays(cameras)[..., 1]
    expected = 1 / y
    ahead = (y > 0.15) & (expected < 6)
    depth = out.depth[0, 0].double()
    assert not covered(out)[y < -0.05].any()
    seen = ahead & covered(out)
    assert seen.sum() > 0.95 * ahead.sum() > 300
    relative = (depth / expected - 1)[seen].abs()
    assert relative.mean() < (1e-5 if drawer.kind == 'mesh' else 0.08)


@every_renderer
@pytest.mark.parametrize('scale', [1e-6, 1e6])
def test_scale(drawer: Drawer, scale):
    vertices, faces = sphere(2)
    cameras = orbit_views(2, image_size=(40, 48))
    extrinsics = cameras.extrinsics.clone()
    extrinsics[..., :3, 3] *= scale
    scaled = Cameras(extrinsics, cameras.intrinsics, cameras.image_size)
    expected = drawer.draw([(vertices, faces)], cameras)
    scales = dict(near=0.1 * scale, far=20 * scale, thickness=0.02 * scale)
    out = drawer.draw([(vertices * scale, faces)], scaled, **scales)
    both = (out.index >= 0) & (expected.index >= 0)
    assert both.sum() > 400
    assert ((out.index >= 0) == (expected.index >= 0)).float().mean() > 0.998
    error = (out.depth / scale - expected.depth)[both].abs()
    assert error.mean() < 1e-3


# Agreement


@pytest.mark.parametrize('projection', PROJECTIONS)
def test_points_and_meshes_agree(projection):
    mesh, colors = three_arms()
    mesh = join(mesh, tuple(t.clone() for t in box([-0.8, -0.6, -0.6], [-0.4, -0.2, 0.0])))
    colors = torch.cat([colors, torch.full((8, 3), 0.5)])
    cameras = orbit_views(3, elevation=35.0, image_size=96, projection=projection)
    points = Drawer('points', 'numba').draw([mesh], cameras, [colors], num_points=60000)
    meshes = Drawer('mesh', 'numba').draw([mesh], cameras, [colors])
    a, b = points.index >= 0, meshes.index >= 0
    assert (a & b).sum() / (a | b).sum() > 0.8
    assert (b & ~a).sum() < 0.01 * b.sum()
    inner = torch.stack([shrunk(m) for m in b[0]])[None]
    error = (points.depth - meshes.depth)[inner].abs()
    assert error.median() < 0.015 and (error < 0.05).float().mean() > 0.95
    error = (points.features - meshes.features).abs().amax(2)[inner]
    assert error.median() < 0.02 and math.isfinite(error.max())


@pytest.mark.parametrize('kind', ['points', 'mesh'])
def test_backends_agree(kind):
    mesh, colors = three_arms()
    cameras = orbit_views(2, elevation=35.0, image_size=(11, 13))
    outputs = [
        Drawer(kind, backend).draw([mesh], cameras, [colors], num_points=60)
        for backend in ('numba', 'torch', 'naive')
    ]
    assert (outputs[0].index >= 0).sum() > 10
    for other in outputs[1:]:
        torch.testing.assert_close(other.index, outputs[0].index)
        for name in ('depth', 'mask', 'features'):
            torch.testing.assert_close(
                getattr(other, name), getattr(outputs[0], name), atol=1e-5, rtol=1e-5
            )
