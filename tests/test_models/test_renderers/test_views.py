"""View sets: where the cameras stand, what is up, what fits into the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.models.renderers import (
    OrbitViews,
    PointSplatRenderer,
    cap_views,
    cube_corner_views,
    icosahedron_views,
    orbit_views,
    random_views,
    sparenet_views,
)
from mm3dpretrain.registry import TASK_UTILS

SETS = [
    orbit_views(5, elevation=35, image_size=(40, 64)),
    orbit_views(3, elevation=-90, up_axis='z'),
    orbit_views(4, projection='orthographic', up_axis='x'),
    cube_corner_views(),
    cube_corner_views(projection='perspective', distance=3.0, image_size=(64, 48), up_axis='z'),
    random_views(6, torch.Generator().manual_seed(0)),
    icosahedron_views(),
    icosahedron_views(faces=True, image_size=(30, 50), up_axis='x'),
    cap_views(9, torch.Generator().manual_seed(1), direction=(1, 2, -1), half_angle=50),
    # straight down and straight up the up axis
    cap_views(3, torch.Generator().manual_seed(2), (0, 0, 5), half_angle=1e-4, up_axis='z'),
    cap_views(3, torch.Generator().manual_seed(2), (0, -1, 0), half_angle=1e-4, up_axis='y'),
    sparenet_views(64, scale=0.9),
    sparenet_views((48, 64), 'perspective'),
]


@pytest.mark.parametrize('cameras', SETS)
def test_cameras_look_at_the_origin_and_see_the_unit_sphere(cameras):
    rotation = cameras.extrinsics[..., :3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3), atol=1e-6)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(1), atol=1e-6)
    height, width = cameras.image_size
    uv, _ = cameras.project(torch.zeros(1, 1, 3))
    assert torch.allclose(uv, torch.tensor([width / 2, height / 2]), atol=1e-4)
    sphere = torch.nn.functional.normalize(torch.randn(1, 2000, 3), dim=-1)
    uv, depth = cameras.project(sphere)
    assert (depth > 0).all()
    assert (uv >= 0).all() and (uv <= torch.tensor([width, height])).all()
    cameras.check_in_front(sphere)


def test_cube_corners_stand_at_the_corners_in_order():
    expected = [(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)]
    cameras = cube_corner_views()
    assert cameras.projection == 'orthographic'
    assert torch.allclose(cameras.centers[0], torch.tensor(expected).float(), atol=1e-6)


@pytest.mark.parametrize('up_axis', ['x', 'y', 'z'])
def test_up_is_up_in_every_view(up_axis):
    up = 'xyz'.index(up_axis)
    points = torch.zeros(1, 2, 3)
    points[0, 0, up], points[0, 1, up] = 0.4, -0.4
    for cameras in (
        cube_corner_views(up_axis=up_axis),
        orbit_views(7, up_axis=up_axis),
        random_views(20, elevation=(-80, 80), up_axis=up_axis),
        icosahedron_views(up_axis=up_axis),
        icosahedron_views(faces=True, up_axis=up_axis),
        cap_views(20, half_angle=60, direction=torch.eye(3)[up - 1].tolist(), up_axis=up_axis),
    ):
        uv, _ = cameras.project(points)
        assert (uv[..., 0, 1] < uv[..., 1, 1]).all()
        assert torch.allclose(uv[..., 0, 0], uv[..., 1, 0], atol=1e-3)


@pytest.mark.parametrize('up_axis', ['x', 'y', 'z'])
def test_orbit_goes_counter_clockwise_from_the_next_axis(up_axis):
    up = 'xyz'.index(up_axis)
    centers = orbit_views(4, elevation=0, distance=2, up_axis=up_axis).centers[0]
    expected = torch.zeros(4, 3)
    first, second = (up + 1) % 3, (up + 2) % 3
    expected[0, first], expected[1, second] = 2, 2
    expected[2, first], expected[3, second] = -2, -2
    assert torch.allclose(centers, expected, atol=1e-5)
    # the next camera stands to the right: what it stands for lies right of the centre
    uv, _ = (
        orbit_views(4, elevation=0, up_axis=up_axis)
        .select_views(0)
        .project(expected[None, 1:2] / 4)
    )
    assert uv[0, 0, 0, 0] > 130


def test_single_point_lands_where_the_formula_says_in_all_cube_views():
    """Expected pixel from the eye alone, with plain vector algebra instead of Cameras."""
    point = torch.tensor([0.31, 0.52, -0.23])
    cameras = cube_corner_views(image_size=64)
    output = PointSplatRenderer(radius=1.0)(point[None, None], cameras)
    up = torch.tensor([0.0, 1.0, 0.0])
    seen = set()
    for view in range(8):
        eye = torch.tensor([1.0 if not view >> bit & 1 else -1.0 for bit in (2, 1, 0)])
        forward = -eye / 3**0.5
        right = torch.linalg.cross(forward, up)
        right = right / right.norm()
        above = torch.linalg.cross(right, forward)
        column = int(32 + 32 * (point @ right))
        row = int(32 - 32 * (point @ above))
        assert output.index[0, view, row, column] == 0
        assert output.depth[0, view, row, column].item() == pytest.approx(
            ((point - eye) @ forward).item(), abs=1e-5
        )
        assert (output.index[0, view] >= 0).sum() <= 5
        seen.add((row, column))
    assert len(seen) == 8


def test_random_views_obey_ranges_and_generator():
    settings = dict(distance=(2.0, 4.0), elevation=(0.0, 30.0), up_axis='z')
    state = torch.get_rng_state()
    cameras = random_views(400, torch.Generator().manual_seed(3), **settings)
    again = random_views(400, torch.Generator().manual_seed(3), **settings)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(cameras.extrinsics, again.extrinsics)
    centers = cameras.centers[0]
    distance = centers.norm(dim=-1)
    assert distance.min() >= 1.999 and distance.max() <= 4.001 and distance.std() > 0.4
    height = centers[:, 2] / distance
    # by area: the sine of the elevation is uniform in [0, 0.5]
    assert height.min() >= -1e-4 and height.max() <= 0.5001
    assert height.mean().item() == pytest.approx(0.25, abs=0.03)
    assert not torch.equal(random_views(1).extrinsics, random_views(1).extrinsics)


def neighbours(centers: torch.Tensor) -> list[int]:
    """How many others are nearest to each."""
    distance = torch.cdist(centers, centers) + 10 * torch.eye(len(centers))
    return (distance < distance.min() + 1e-4).sum(1).tolist()


def test_icosahedron_and_its_dual():
    corners = icosahedron_views(distance=2.0).centers[0]
    faces = icosahedron_views(faces=True, distance=1.0).centers[0]
    assert torch.allclose(corners.norm(dim=-1), torch.full((12,), 2.0))
    assert torch.allclose(faces.norm(dim=-1), torch.ones(20))
    assert neighbours(corners) == [5] * 12 and neighbours(faces) == [3] * 20
    for face in faces:
        near = (corners @ face).topk(3)
        assert near.values.max() - near.values.min() < 1e-4  # the middle of three corners
        middle = torch.nn.functional.normalize(corners[near.indices].mean(0), dim=0)
        assert torch.allclose(middle, face, atol=1e-4)


@pytest.mark.parametrize('direction', [(0.0, 0.0, 1.0), (0.0, -2.0, 0.0), (3.0, -1.0, 2.0)])
def test_caps_are_filled_evenly(direction):
    generator = torch.Generator().manual_seed(3)
    settings = dict(direction=direction, half_angle=40, distance=(2.0, 3.0))
    cameras = cap_views(800, generator, **settings)
    again = cap_views(800, torch.Generator().manual_seed(3), **settings)
    assert torch.equal(cameras.extrinsics, again.extrinsics)
    centers = cameras.centers[0]
    distance = centers.norm(dim=-1)
    assert distance.min() >= 1.999 and distance.max() <= 3.001 and distance.std() > 0.2
    middle = torch.nn.functional.normalize(torch.tensor(direction), dim=0)
    cosine = centers / distance[:, None] @ middle
    low = torch.deg2rad(torch.tensor(40.0)).cos()
    # by area: the cosine is uniform
    assert cosine.min() >= low - 1e-4 and cosine.max() <= 1.0001
    assert cosine.mean().item() == pytest.approx((1 + low.item()) / 2, abs=0.01)
    # all around: what is left without the middle cancels
    around = centers / distance[:, None] - cosine[:, None] * middle
    assert around.mean(0).norm() < 0.05 and around.norm(dim=-1).mean() > 0.3


@pytest.mark.parametrize(
    'cameras', [cube_corner_views(), icosahedron_views(), icosahedron_views(faces=True)]
)
def test_no_view_twice(cameras):
    centers = cameras.centers[0]
    distance = torch.cdist(centers, centers) + 10 * torch.eye(len(centers))
    assert distance.min() > 0.5


def test_from_config():
    cameras = TASK_UTILS.build(dict(type='CubeCornerViews', image_size=32))()
    assert torch.equal(cameras.extrinsics, cube_corner_views(32).extrinsics)
    orbit = TASK_UTILS.build(dict(type='OrbitViews', num_views=3, up_axis='z'))
    assert torch.equal(orbit().extrinsics, orbit_views(3, up_axis='z').extrinsics)
    assert 'num_views=3' in repr(orbit)
    state = torch.get_rng_state()
    icosahedron = TASK_UTILS.build(dict(type='IcosahedronViews', faces=True))
    assert torch.equal(icosahedron().extrinsics, icosahedron_views(True).extrinsics)
    cap = TASK_UTILS.build(dict(type='CapViews', num_views=2, half_angle=9))
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    expected = cap_views(2, generators[0], half_angle=9)
    assert torch.equal(cap(generators[1]).extrinsics, expected.extrinsics)
    views = TASK_UTILS.build(dict(type='RandomViews', num_views=2))
    assert torch.equal(torch.get_rng_state(), state)
    one, two = (views(torch.Generator().manual_seed(s)).extrinsics for s in (1, 1))
    assert torch.equal(one, two) and not torch.equal(one, views().extrinsics)


@pytest.mark.parametrize(
    ('function', 'settings', 'message'),
    [
        (orbit_views, dict(num_views=0), 'num_views must be at least 1'),
        (orbit_views, dict(distance=0), 'distance must be positive, got 0'),
        (orbit_views, dict(up_axis='up'), "got 'up'"),
        (orbit_views, dict(fov=180), 'fov must lie in'),
        (orbit_views, dict(image_size=(0, 5)), 'image_size must be positive'),
        (orbit_views, dict(projection='fisheye'), "got 'fisheye'"),
        (cube_corner_views, dict(scale=0), 'scale must be positive'),
        (cube_corner_views, dict(distance=-1), 'distance must be positive, got -1'),
        (random_views, dict(elevation=(20, 10)), 'elevation must be a range'),
        (random_views, dict(distance=(3, 2)), 'distance must be positive or a range'),
        (icosahedron_views, dict(distance=float('inf')), 'distance must be positive, got inf'),
        (cap_views, dict(half_angle=181), 'half_angle must lie in .* got 181'),
        (cap_views, dict(direction=(0, 0, 0)), 'direction must be 3 finite numbers'),
        (cap_views, dict(distance=(3, 2)), 'distance must be positive or a range'),
        (OrbitViews, dict(elevation=20, num_views=-1), 'num_views must be at least 1'),
    ],
)
def test_impossible_settings_are_refused(function, settings, message):
    with pytest.raises(ValueError, match=message):
        function(**settings)


@pytest.mark.parametrize(
    'name', ['Orbit', 'CubeCorner', 'Icosahedron', 'SpareNet', 'Random', 'Cap']
)
def test_autocast_does_not_move_cameras(name):
    views = TASK_UTILS.build(dict(type=f'{name}Views'))
    expected = views(torch.Generator().manual_seed(0))
    with torch.autocast('cpu', torch.bfloat16):
        found = views(torch.Generator().manual_seed(0))
    assert torch.equal(found.extrinsics, expected.extrinsics)
    assert torch.equal(found.intrinsics, expected.intrinsics)


def test_numpy_integers_are_sizes():
    assert orbit_views(image_size=np.int64(7)).image_size == (7, 7)
