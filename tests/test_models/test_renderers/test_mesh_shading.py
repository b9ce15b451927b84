"""Shading of rendered meshes: values by hand, sides, gradients, refusals."""

from __future__ import annotations

import pytest
import torch
from mesh_scenes import box, camera, height_field, sphere, square

from mm3dpretrain.models.renderers import MeshRenderer, PointSplatRenderer, orbit_views, shade
from mm3dpretrain.structures import Cameras, Meshes


def draw(mesh, cameras, **options):
    meshes = Meshes.from_list([mesh])
    return MeshRenderer(0.2, 9.0, **options)(meshes, cameras), meshes, cameras


CAMERA = camera((10, 12), (9.0, 9.0), (6.0, 5.0))


@pytest.mark.parametrize('smooth', [True, False])
@pytest.mark.parametrize('turned', [True, False])
def test_a_square_that_faces_the_camera(smooth, turned):
    vertices, faces = square(2.0, 0.6)
    scene = draw((vertices, faces.flip(1) if turned else faces), CAMERA)
    seen = scene[0].index[0, 0] >= 0
    assert 0 < seen.sum() < seen.numel()

    def colors(mode, **options):
        picture = shade(*scene, mode, smooth=smooth, **options)
        assert picture.shape == (1, 1, 3, 10, 12) and (picture[0, 0][:, ~seen] == 1).all()
        return picture[0, 0][:, seen]

    # the normal of the side that is seen is (0, 0, -1)
    expected = torch.tensor([0.5, 0.5, 0.0])[:, None].expand(3, int(seen.sum()))
    torch.testing.assert_close(colors('normals'), expected)
    light = (0.0, 3.0, -4.0)
    torch.testing.assert_close(
        colors('lambert', light_direction=light, ambient=0.25),
        torch.full_like(expected, 0.7 * (0.25 + 0.75 * 0.8)),
    )
    torch.testing.assert_close(
        colors('lambert', light_direction=(0.0, 0.0, 1.0)), torch.full_like(expected, 0.7 * 0.4)
    )
    torch.testing.assert_close(
        colors('depth', depth_range=(1.0, 5.0)), torch.full_like(expected, 0.75)
    )


def test_headlight_falls_off_with_the_angle():
    out, meshes, cameras = draw(square(2.0, 3.0), CAMERA)
    albedo = torch.rand(1, 1, 3, 10, 12)
    picture = shade(out, meshes, cameras, 'headlight', albedo, ambient=0.0)
    x = (torch.arange(12) + 0.5 - 6) / 9
    y = (torch.arange(10) + 0.5 - 5) / 9
    cosine = 1 / (1 + x**2 + y[:, None] ** 2).sqrt()
    torch.testing.assert_close(picture, albedo * cosine)
    parallel = camera((10, 12), (9.0, 9.0), (6.0, 5.0), 'orthographic')
    out, meshes, cameras = draw(square(2.0, 3.0), parallel)
    torch.testing.assert_close(shade(out, meshes, cameras, 'headlight', albedo), albedo)


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_normals_of_a_sphere(projection):
    vertices, faces = sphere(3)
    cameras = orbit_views(3, image_size=40, projection=projection)
    out, meshes, cameras = draw((vertices, faces), cameras)
    seen = out.index >= 0
    position = torch.nn.functional.normalize(cameras.unproject(out.depth), dim=-1)[seen]
    world = shade(out, meshes, cameras, 'normals', frame='world').permute(0, 1, 3, 4, 2)[seen]
    assert ((2 * world - 1) * position).sum(-1).min() > 0.995
    flat = shade(out, meshes, cameras, 'normals', frame='world', smooth=False)
    flat = 2 * flat.permute(0, 1, 3, 4, 2)[seen] - 1
    assert (flat * position).sum(-1).min() > 0.98 and not torch.allclose(flat, 2 * world - 1)
    torch.testing.assert_close(flat, meshes.face_normals()[0][out.index[seen]])
    # in the camera's own frame a view from anywhere is the same: z points at the viewer
    own = 2 * shade(out, meshes, cameras, 'normals').permute(0, 1, 3, 4, 2) - 1
    assert (own[0, :, 20, 20, 2] < -0.99).all()
    assert (own[0, :, 20, 8, 0] < -0.3).all() and (own[0, :, 8, 20, 1] < -0.3).all()


@pytest.mark.parametrize('smooth', [True, False])
@pytest.mark.parametrize('mode', ['lambert', 'headlight', 'normals', 'depth'])
def test_gradients(mode, smooth):
    vertices, faces = height_field(5)
    cameras = camera((4, 5), (4.0, 4.0), (2.4, 2.1), distance=2.5).to(torch.float64)
    depth_range = (1.0, 4.0) if mode == 'depth' else None

    def run(positions, albedo):
        meshes = Meshes(positions[None], faces[None])
        out = MeshRenderer(0.2, 9.0)(meshes, cameras)
        assert (out.index >= 0).all()
        return shade(
            out, meshes, cameras, mode, albedo, smooth, depth_range=depth_range, ambient=0.2,
            light_direction=(0.3, 0.2, -1.0),
        )  # fmt: skip

    leaves = [vertices, 0.8 * torch.rand(1, 1, 3, 4, 5, dtype=torch.float64)]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(run, leaves, eps=1e-7, atol=1e-5, rtol=1e-4)
    gradient = torch.autograd.grad(run(*leaves).sum(), leaves, allow_unused=True)
    assert gradient[0].abs().max() > 1e-3
    assert (gradient[1] is not None) == (mode in ('lambert', 'headlight'))


def test_batches_and_background():
    meshes = Meshes.from_list([box([-0.5] * 3, [0.5] * 3), sphere(2)])
    cameras = orbit_views(2, image_size=(16, 20))
    out = MeshRenderer(backend='torch')(meshes, cameras)
    both = shade(out, meshes, cameras, 'lambert', background=0.25)
    assert both.shape == (2, 2, 3, 16, 20) and both.min() >= 0 and both.max() <= 1
    single = Meshes.from_list([sphere(2)])
    alone = shade(MeshRenderer()(single, cameras), single, cameras, background=0.25)
    torch.testing.assert_close(alone[0], both[1])
    assert (both.movedim(2, -1)[out.index < 0] == 0.25).all()


def test_nothing_in_sight():
    scene = draw(square(2.0, 0.5, x=30.0), CAMERA)
    assert (shade(*scene, 'headlight', background=0.0) == 0).all()


def test_refusals():
    scene = draw(square(2.0, 0.5), CAMERA)
    for options, message in (
        (dict(mode='toon'), 'mode must be'),
        (dict(frame='view'), 'frame must be'),
        (dict(ambient=1.5), 'ambient'),
        (dict(background=-1.0), 'background'),
        (dict(mode='depth'), 'depth_range'),
        (dict(depth_range=(1.0, 2.0)), 'depth_range'),
        (dict(mode='depth', depth_range=(2.0, 1.0)), 'near < far'),
        (dict(albedo=torch.rand(1, 3, 10, 12)), r'albedo must be \(1, 1, 3, 10, 12\)'),
        (dict(light_direction=(0.0, 0.0, 0.0)), 'light_direction'),
    ):
        with pytest.raises(ValueError, match=message):
            shade(*scene, **options)
    points = PointSplatRenderer()(torch.tensor([[[0.0, 0, 2]]]), CAMERA)
    with pytest.raises(ValueError, match='no bary'):
        shade(points, *scene[1:])


@pytest.mark.parametrize('scale', [1e-6, 1e6])
def test_the_unit_of_the_scene_does_not_matter(scale):
    vertices, faces = sphere(2)
    cameras = orbit_views(2, image_size=20)
    pictures = []
    for unit in (1.0, scale):
        extrinsics = cameras.extrinsics.clone()
        extrinsics[..., :3, 3] *= unit
        scaled = Cameras(extrinsics, cameras.intrinsics, cameras.image_size)
        meshes = Meshes.from_list([(vertices * unit, faces)])
        output = MeshRenderer(0.5 * unit, 9.0 * unit)(meshes, scaled)
        pictures.append(shade(output, meshes, scaled, 'headlight'))
    torch.testing.assert_close(*pictures, atol=1e-5, rtol=0)


def test_autocast_changes_nothing():
    scene = draw(sphere(2), orbit_views(2, image_size=50))
    expected = shade(*scene, 'headlight')
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(shade(*scene, 'headlight'), expected)
