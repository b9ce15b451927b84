"""Cameras: conventions, projection and back, look_at, refusals."""

from __future__ import annotations

import math

import pytest
import torch

from mm3dpretrain.structures import Cameras, look_at


def make_cameras(projection: str = 'perspective', batch: int = 2, views: int = 3) -> Cameras:
    """Off-centre principal points, fx != fy, non-square pictures, some skew."""
    generator = torch.Generator().manual_seed(0)
    eyes = 3 * torch.nn.functional.normalize(
        torch.randn(batch, views, 3, generator=generator, dtype=torch.double), dim=-1
    )
    intrinsics = torch.tensor([[40.0, 0.7, 21.0], [0, 35.0, 9.5], [0, 0, 1]], dtype=torch.double)
    return Cameras(look_at(eyes), intrinsics.expand(batch, views, 3, 3), (24, 36), projection)


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_unproject_inverts_project(projection):
    cameras = make_cameras(projection)
    depth = 1 + torch.rand(2, 3, 24, 36, dtype=torch.double)
    world = cameras.unproject(depth)
    rows, columns = torch.meshgrid(torch.arange(24) + 0.5, torch.arange(36) + 0.5, indexing='ij')
    for view in range(3):
        uv, z = cameras.select_views(view).project(world[:, view].reshape(2, -1, 3))
        assert torch.allclose(z.reshape(2, 24, 36), depth[:, view])
        expected = torch.stack([columns, rows], -1).double().expand(2, -1, -1, -1)
        assert torch.allclose(uv.reshape(2, 24, 36, 2), expected)


def test_project_by_hand():
    """Identity camera: x right, y down, z forward; pixel centres at + 0.5."""
    intrinsics = torch.tensor([[10.0, 0, 4.0], [0, 20.0, 3.0], [0, 0, 1]])[None, None]
    points = torch.tensor([[[0.2, -0.1, 2.0], [0.0, 0.0, -1.0]]])
    persp = Cameras(torch.eye(4)[None, None], intrinsics, (6, 8))
    uv, depth = persp.project(points)
    assert torch.allclose(uv[0, 0, 0], torch.tensor([5.0, 2.0]))
    assert depth[0, 0].tolist() == [2.0, -1.0]
    assert torch.isfinite(uv).all()
    ortho = Cameras(torch.eye(4)[None, None], intrinsics, (6, 8), 'orthographic')
    assert torch.allclose(ortho.project(points)[0][0, 0, 0], torch.tensor([6.0, 1.0]))


def test_points_in_the_camera_plane_have_finite_gradients():
    intrinsics = torch.tensor([[10.0, 0, 4.0], [0, 20.0, 3.0], [0, 0, 1]])[None, None]
    points = torch.zeros(1, 2, 3, requires_grad=True)
    uv, depth = Cameras(torch.eye(4)[None, None], intrinsics, (6, 8)).project(points)
    (uv.sum() + depth.sum()).backward()
    assert torch.isfinite(points.grad).all()


def test_one_camera_set_serves_a_batch_of_points():
    cameras = make_cameras(batch=1)
    points = torch.randn(4, 5, 3, dtype=torch.double)
    uv, depth = cameras.project(points)
    uv2, depth2 = cameras.expand(4).project(points)
    assert uv.shape == (4, 3, 5, 2) and torch.equal(uv, uv2) and torch.equal(depth, depth2)


def test_look_at_is_upright_and_not_mirrored():
    eye = torch.tensor([[0.0, 0.0, 5.0]])
    extrinsics = look_at(eye, up=torch.tensor([0.0, 3.0, 0.0]))
    # from +z towards the origin with y up: world x is right, world y is up (image y down)
    expected = torch.tensor([[1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]])
    assert torch.allclose(extrinsics[0, :3, :3], expected)
    cameras = Cameras(extrinsics[None], torch.eye(3)[None, None], (2, 2))
    assert torch.allclose(cameras.centers, eye[None])
    assert torch.allclose(
        cameras.world_to_camera(torch.zeros(1, 1, 3)), torch.tensor([0.0, 0.0, 5.0])
    )


@pytest.mark.parametrize('up', [(0, 0, 1), (0, 1, 0), (1, 1, 1), (-2, 0, 0), (1e-3, 0, 5e-4)])
@pytest.mark.parametrize('sign', [1, -1])
def test_look_at_along_up_is_still_a_rotation(up, sign):
    up = torch.tensor(up, dtype=torch.double)
    eye = sign * 2 * up / up.norm()
    target = torch.tensor([0.1, 0.2, 0.3], dtype=torch.double)
    rotation = look_at((eye + target)[None], target, up)[0, :3, :3]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.double), atol=1e-9)
    assert math.isclose(torch.linalg.det(rotation).item(), 1.0, abs_tol=1e-9)
    assert torch.allclose(rotation[2], -eye / 2)


@pytest.mark.parametrize(
    ('eyes', 'up', 'message'),
    [
        ([[0.0, 0, 0]], None, 'coincides'),
        ([[0.0, 0, 1]], [0.0, 0, 0], 'up must not be zero'),
        ([[float('nan'), 0, 1]], None, 'eyes has values'),
    ],
)
def test_look_at_refuses(eyes, up, message):
    with pytest.raises(ValueError, match=message):
        look_at(torch.tensor(eyes), up=None if up is None else torch.tensor(up))


def test_check_in_front_names_the_view():
    eyes = torch.tensor([[[0.0, 0, 3], [3.0, 0, 0]]])
    away = look_at(eyes[0, 1:], target=torch.tensor([6.0, 0, 0]))
    extrinsics = torch.stack([look_at(eyes[0, :1])[0], away[0]])[None]
    cameras = Cameras(extrinsics, torch.eye(3).expand(1, 2, 3, 3), (4, 4))
    points = 0.5 * torch.randn(2, 50, 3).clamp(-1, 1)
    cameras.select_views(0).check_in_front(points)
    with pytest.raises(ValueError, match='view 1 of sample 0: 100% of the points lie behind'):
        cameras.check_in_front(points)
    # a camera within the cloud sees half of it
    inside = Cameras(torch.eye(4)[None, None], torch.eye(3)[None, None], (4, 4))
    half = torch.tensor([[[0.0, 0, 1], [0, 0, -1]]])
    inside.check_in_front(half, min_share=0.5)
    with pytest.raises(ValueError, match='50%'):
        inside.check_in_front(half)


def test_select_expand_cat_rescale():
    cameras = make_cameras()
    assert len(cameras) == 2 and cameras.num_views == 3
    for index in (1, [1], torch.tensor(1), torch.tensor([1]), slice(1, 2)):
        one = cameras.select_views(index)
        assert one.num_views == 1 and torch.equal(one.extrinsics[:, 0], cameras.extrinsics[:, 1])
    assert cameras.select_views([2, 0]).num_views == 2
    both = Cameras.cat([cameras, cameras])
    assert len(both) == 4 and torch.equal(both.intrinsics[2:], cameras.intrinsics)
    double = cameras.rescale((48, 108))
    points = torch.randn(2, 7, 3, dtype=torch.double)
    uv, uv2 = cameras.project(points)[0], double.project(points)[0]
    assert double.image_size == (48, 108)
    assert torch.allclose(uv2, uv * torch.tensor([3.0, 2.0], dtype=torch.double))
    assert cameras.to(torch.float32).extrinsics.dtype == torch.float32
    with pytest.raises(ValueError, match='cannot expand cameras of batch 2 to 3'):
        cameras.expand(3)
    with pytest.raises(ValueError, match='share image size'):
        Cameras.cat([cameras, double])
    with pytest.raises(ValueError, match='at least one'):
        Cameras.cat([])
    with pytest.raises(ValueError, match='at least one view'):
        cameras.select_views([])


def test_positions_keep_their_precision_under_autocast():
    cameras = make_cameras().to(torch.float32)
    depth = torch.rand(2, 3, *cameras.image_size) + 1
    expected = cameras.unproject(depth), cameras.centers, look_at(cameras.centers)
    with torch.autocast('cpu', torch.bfloat16):
        found = cameras.unproject(depth), cameras.centers, look_at(cameras.centers)
    for one, other in zip(found, expected):
        assert one.dtype == torch.float32 and torch.equal(one, other)


def test_bad_input_is_refused():
    eye4, eye3 = torch.eye(4)[None, None], torch.eye(3)[None, None]
    with pytest.raises(ValueError, match="got 'fisheye'"):
        Cameras(eye4, eye3, (2, 2), 'fisheye')
    with pytest.raises(ValueError, match='extrinsics must be'):
        Cameras(eye3, eye3, (2, 2))
    with pytest.raises(ValueError, match='intrinsics must be'):
        Cameras(eye4, eye3[0], (2, 2))
    with pytest.raises(ValueError, match='image_size must be positive'):
        Cameras(eye4, eye3, (0, 2))
    with pytest.raises(ValueError, match='share one floating dtype'):
        Cameras(eye4, eye3.double(), (2, 2))
    cameras = Cameras(eye4, eye3, (2, 2))
    with pytest.raises(ValueError, match='points must be'):
        cameras.project(torch.zeros(5, 3))
    with pytest.raises(ValueError, match='depth must be'):
        cameras.unproject(torch.zeros(1, 1, 3, 2))
    with pytest.raises(ValueError, match='2 samples of cameras for 3'):
        make_cameras().project(torch.zeros(3, 5, 3, dtype=torch.double))


def test_agrees_with_pytorch3d_conversion(golden):
    """The same camera as R, T, focal length and principal point in NDC (x left, y up)."""
    arrays = {k: torch.from_numpy(v) for k, v in golden('render/camera_conversion.npz').items()}
    height, width = arrays['image_hw'].tolist()
    extrinsics = torch.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = arrays['R_cv'], arrays['t_cv']
    cameras = Cameras(extrinsics[None, None], arrays['K'][None, None], (height, width))
    points = 0.5 * torch.randn(1, 50, 3)
    uv, depth = cameras.project(points)
    cam = points[0] @ arrays['p3d_R'] + arrays['p3d_T']
    ndc = arrays['p3d_focal_ndc'] * cam[:, :2] / cam[:, 2:] + arrays['p3d_principal_ndc']
    half = min(height, width) / 2
    expected = torch.tensor([width / 2, height / 2]) - half * ndc
    assert torch.allclose(depth[0, 0], cam[:, 2], atol=1e-6)
    assert torch.allclose(uv[0, 0], expected, atol=2e-4)
