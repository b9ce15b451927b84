"""Visibility, z-buffer, sampling and scattering between the points and the pixels of a scene."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from splat_scenes import cloud, front_camera

from mm3dpretrain.models.renderers import (
    PointProjector,
    cameras_from_projection,
    orbit_views,
    transform_cameras,
)
from mm3dpretrain.ops.rasterize import rasterize_mesh
from mm3dpretrain.registry import TASK_UTILS

BOX = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.3, 0.3) for z in (-0.4, 0.4)])
BOX_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 7, 5], [4, 6, 7], [0, 5, 1], [0, 4, 5]]
    + [[2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)


def scene(projection='perspective', num=40, size=(12, 17), dtype=torch.double):
    """Points, three cameras and depth images at half the resolution, with holes."""
    generator = torch.Generator().manual_seed(3)
    points = 0.6 * torch.randn(2, num, 3, generator=generator, dtype=dtype)
    cameras = orbit_views(3, 15, image_size=size, projection=projection).to(dtype)
    shape = (2, 3, size[0] // 2, size[1] // 2)
    depth = 2.2 + 1.6 * torch.rand(shape, generator=generator, dtype=dtype)
    depth[torch.rand(shape, generator=generator) < 0.2] = 0
    return points, cameras, depth


def box_views(size=(60, 80), projection='perspective'):
    cameras = orbit_views(6, 30, image_size=size, projection=projection)
    _, depth, _ = rasterize_mesh(BOX.astype(np.float32), BOX_FACES, cameras)
    return cameras, torch.from_numpy(np.asarray(depth))[None]


# --------------------------------------------------------------------- points in pictures


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
@pytest.mark.parametrize('relative', [False, True])
def test_visibility_and_z_buffer_equal_loops(projection, relative):
    points, cameras, depth = scene(projection)
    projector = PointProjector(0.3, relative=relative)
    lengths = torch.tensor([40, 25])
    uv, z, visible = projector.visible(points, cameras, depth, lengths)
    index = projector.pixel_index(uv, z, visible, (12, 17), (5, 8))
    matrices = cameras.extrinsics[0], cameras.intrinsics[0]
    expected = torch.full_like(index, -1)
    nearest = torch.full(index.shape, math.inf)
    for b in range(2):
        for v in range(3):
            for k in range(40):
                x, y, d = (matrices[0][v] @ torch.cat([points[b, k], torch.ones(1)]))[:3]
                if projection == 'perspective':
                    x, y = x / d, y / d
                u, w, _ = matrices[1][v] @ torch.stack([x, y, torch.ones_like(x)])
                seen = bool(d > 0 and 0 <= u < 17 and 0 <= w < 12) and k < lengths[b]
                if seen:
                    measured = depth[b, v, int(w * 6 / 12), int(u * 8 / 17)]
                    limit = 0.3 * measured if relative else 0.3
                    seen = bool(measured > 0 and (d - measured).abs() < limit)
                assert visible[b, v, k] == seen
                if not seen:
                    continue
                assert torch.allclose(uv[b, v, k], torch.stack([u, w])) and z[b, v, k].isclose(d)
                row, column = int(w * 5 / 12), int(u * 8 / 17)
                if d < nearest[b, v, row, column]:
                    nearest[b, v, row, column], expected[b, v, row, column] = d, k
    assert 10 < visible.sum() < 0.7 * visible.numel()
    assert torch.equal(index, expected)


def test_nearer_point_wins_whatever_the_order():
    camera, projector = front_camera(), PointProjector()
    points = cloud((0.01, 0.0, 2.0), (0.0, 0.01, 1.0), (0.3, 0.0, 1.0), (0.0, 0.012, 1.0))
    expected = torch.full((9, 9), -1)
    expected[4, 4], expected[4, 7] = 1, 2  # 3 is as near as 1: the lower index
    for order in (torch.arange(4), torch.tensor([2, 0, 1, 3])):
        uv, z, visible = projector.visible(points[:, order], camera)
        assert visible.all()
        index = projector.pixel_index(uv, z, visible, (9, 9))[0, 0]
        assert torch.equal(torch.where(index >= 0, order[index], -1), expected)


def test_what_is_not_visible():
    camera = front_camera((6, 10), 10.0)
    points = cloud(
        (0.0, 0.0, 1.0),  # measured
        (0.0, 0.0, 1.2),  # behind the surface
        (0.0, 0.0, 0.8),  # in front of it: noise, or something that moved
        (-0.45, 0.0, 1.0),  # nothing measured there
        (0.51, 0.0, 1.0),  # outside
        (0.0, 0.0, -1.0),  # behind the camera
        (0.0, float('nan'), 1.0),
        (1e30, 0.0, 1.0),
        (0.0, 0.0, 0.0),
    )
    depth = torch.ones(1, 1, 6, 10)
    depth[..., :2] = 0
    visible = PointProjector(0.1).visible(points, camera, depth)[2]
    assert visible[0, 0].tolist() == [True] + 8 * [False]
    _, _, visible = PointProjector(0.1).visible(points, camera)
    assert visible[0, 0].tolist() == [True] * 4 + 5 * [False]
    # a fifth of the depth is more than 0.1
    visible = PointProjector(0.25, relative=True).visible(points, camera, depth)[2]
    assert visible[0, 0, :3].tolist() == [True] * 3


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_own_depth_image_sees_itself(projection):
    """Lifted pixels lie at the pixel centres they came from, and each is seen there."""
    cameras, depth = box_views(projection=projection)
    projector = PointProjector(1e-3)
    lifted, mask = projector.lift(depth, cameras)
    assert (
        torch.equal(mask, depth > 0) and (lifted[~mask] == 0).all() and mask.float().mean() > 0.05
    )
    row, column = torch.meshgrid(torch.arange(60), torch.arange(80), indexing='ij')
    for v in range(6):
        camera, own = cameras.select_views(v), mask[0, v]
        uv, z, visible = projector.visible(lifted[0, v][own][None], camera, depth[:, v : v + 1])
        centre = torch.stack([column, row], -1)[own] + 0.5
        assert (uv[0, 0] - centre).abs().max() < 1e-3 and visible.all()
        index = projector.pixel_index(uv, z, visible, (60, 80))[0, 0]
        assert torch.equal(index[own], torch.arange(int(own.sum()))) and (index[~own] == -1).all()


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_round_trip_through_changed_pictures(projection):
    """Lift in the original, project after resizing, cropping, mirroring, padding; float64."""
    cameras = orbit_views(2, 20, image_size=(48, 64), projection=projection).to(torch.double)
    depth = 2.5 + torch.rand(1, 2, 48, 64, dtype=torch.double)
    projector = PointProjector()
    points = projector.lift(depth, cameras)[0].flatten(1, 3)
    first = slice(0, 48 * 64)
    changed = transform_cameras(
        cameras, (0.5, 1.5), (3.0, 10.0), flip=True, image_size=(40, 20), pad_size=(64, 32)
    )
    assert changed.image_size == (64, 32)
    uv, _, _ = projector.visible(points, changed)
    row, column = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(64) + 0.5, indexing='ij')
    expected = torch.stack([20 - (0.5 * column - 3), 1.5 * row - 10], -1).flatten(0, 1)
    assert (uv[0, 0, first] - expected).abs().max() < 1e-4
    # and back: a depth image of other resolution than the cameras
    half = projector.lift(depth[..., ::2, ::2], cameras)[0].flatten(1, 3)
    uv, z, _ = projector.visible(half, cameras.rescale((24, 32)))
    assert (uv[0, 0, :32, 0] - (torch.arange(32) + 0.5)).abs().max() < 1e-4
    assert torch.allclose(z[0, 0, :768], depth[0, 0, ::2, ::2].flatten())


def test_undone_augmentation_keeps_positions():
    """Rotated and scaled points go back before they are projected (row vectors)."""
    points, cameras, _ = scene()
    angle = torch.tensor(0.7, dtype=torch.double)
    c, s = angle.cos(), angle.sin()
    rotation = torch.stack([c, -s, 0 * c, s, c, 0 * c, 0 * c, 0 * c, 1 + 0 * c]).view(3, 3)
    augmented = 1.3 * points @ rotation
    uv = PointProjector().visible(points, cameras)[0]
    back = PointProjector().visible(augmented @ rotation.T / 1.3, cameras)[0]
    assert (uv - back).abs().max() < 1e-4


def test_correspondences_pass_both_depth_checks():
    """A pixel of one view, seen in another one, leads back to where it came from."""
    cameras, depth = box_views((120, 160))
    projector = PointProjector(0.02)
    lifted, mask = projector.lift(depth, cameras)
    a, b = cameras.select_views(0), cameras.select_views(1)
    points = lifted[:, 0][mask[:, 0]][None]
    start, _, _ = projector.visible(points, a, depth[:, :1])
    uv, _, seen = projector.visible(points, b, depth[:, 1:2])
    assert 0.2 < seen.float().mean() < 0.9  # each view sees faces of its own
    # the surface of b below each of these positions
    column, row = uv[0, 0][seen[0, 0]].long().unbind(-1)
    surface = lifted[0, 1, row, column][None]
    back, _, again = projector.visible(surface, a, depth[:, :1])
    error = (back[0, 0] - start[0, 0][seen[0, 0]]).norm(dim=-1)
    assert again.float().mean() > 0.97
    assert error.median() < 1 and (error < 2).float().mean() > 0.97


# -------------------------------------------------------------- features of maps at points


def test_sampling_reads_a_linear_map_exactly():
    """Values at cell centres grow with the position: sampling gives the position, at any stride."""
    width, height = 64, 48
    uv = torch.rand(1, 2, 50, 2) * torch.tensor([width - 16, height - 16]) + 8
    for size in ((48, 64), (12, 16), (3, 4), (7, 9)):
        v, u = torch.meshgrid(
            (torch.arange(size[0]) + 0.5) * height / size[0],
            (torch.arange(size[1]) + 0.5) * width / size[1],
            indexing='ij',
        )
        feature_map = torch.stack([u, v]).expand(1, 2, 2, *size)
        found = PointProjector().sample(feature_map, uv, (height, width))
        assert torch.allclose(found, uv, atol=1e-4)


def test_sampling_equals_loops_and_finite_differences():
    feature_map = torch.randn(1, 2, 3, 4, 5, dtype=torch.double, requires_grad=True)
    uv = (torch.rand(1, 2, 6, 2, dtype=torch.double) * 30 - 2).requires_grad_()
    visible = torch.rand(1, 2, 6) < 0.7
    for align, padding in ((False, 'border'), (True, 'zeros')):
        projector = PointProjector(align_corners=align, padding=padding)
        found = projector.sample(feature_map, uv, (20, 25), visible)
        for v, k in np.ndindex(2, 6):
            x, y = uv[0, v, k].tolist()
            # column and row of the map, counted from the centre of the first cell
            x, y = (x * 4 / 25, y * 3 / 20) if align else (x * 5 / 25 - 0.5, y * 4 / 20 - 0.5)
            if padding == 'border':
                x, y = min(max(x, 0), 4), min(max(y, 0), 3)
            expected = torch.zeros(3, dtype=torch.double)
            for row, column in np.ndindex(4, 5):
                weight = max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
                expected += weight * feature_map[0, v, :, row, column]
            expected = expected * visible[0, v, k]
            assert torch.allclose(found[0, v, k], expected)
        assert torch.autograd.gradcheck(
            lambda m, p, f=projector: f.sample(m, p, (20, 25), visible), (feature_map, uv)
        )
    far = PointProjector(padding='zeros').sample(feature_map, uv + 1e20, (20, 25))
    assert (far == 0).all()


@pytest.mark.parametrize('case', ['case0', 'case1', 'case2', 'case3'])
def test_sampling_equals_simipu(golden, case):
    """Its ``point_sample``: projection, augmented picture, sampled features, gradient."""
    arrays = golden('simipu/point_sample.npz')
    want = {
        k.split('/')[1]: torch.from_numpy(np.asarray(v))
        for k, v in arrays.items()
        if k.startswith(case)
    }
    # the size of the original picture does not matter, only that of the padded one
    cameras = cameras_from_projection(want['lidar2img'][None, None], (370, 1224))
    cameras = transform_cameras(
        cameras,
        tuple(want['scale_factor_wh'].tolist()),
        tuple(want['crop_offset_wh'].tolist()),
        bool(want['flip']),
        tuple(want['img_shape_hw'].tolist()),
        tuple(want['pad_shape_hw'].tolist()),
    )
    projector = PointProjector(align_corners=True, padding='zeros')
    uv, z, _ = projector.visible(want['points'][None], cameras)
    # it sends what is behind the camera far away, where the padding is
    front = z > 1e-5
    assert 0.5 < front.float().mean() < 1
    expected = want['pixel_uv_after_aug'][front[0, 0]]
    assert ((uv[front] - expected).abs() <= 1e-4 + 1e-6 * expected.abs().amax()).all()
    feature_map = want['features'][None].requires_grad_()
    sampled = projector.sample(feature_map, uv, cameras.image_size, front)[0, 0]
    assert (sampled - want['sampled']).abs().max() < 1e-4
    assert (want['sampled'] != 0).any(1).sum() > 20
    (grad,) = torch.autograd.grad((sampled * want['weight']).sum(), feature_map)
    assert (grad[0] - want['grad_features']).abs().max() < 1e-4


# ------------------------------------------------------------- features of points in maps


def test_scatter_equals_loops_and_only_chosen_points_get_gradient():
    points, cameras, _ = scene(num=60)
    projector = PointProjector()
    uv, z, visible = projector.visible(points, cameras)
    index = projector.pixel_index(uv, z, visible, (12, 17), (6, 8))
    features = torch.randn(2, 60, 3, dtype=torch.double, requires_grad=True)
    picture, mask = projector.scatter(features, index)
    assert picture.shape == (2, 3, 3, 6, 8) and torch.equal(mask, index >= 0)
    for b, v, i, j in np.ndindex(2, 3, 6, 8):
        k = index[b, v, i, j]
        expected = features[b, k] if k >= 0 else torch.zeros(3)
        assert torch.equal(picture[b, v, :, i, j].float(), expected.float())
    weight = torch.rand_like(picture)
    (grad,) = torch.autograd.grad((picture * weight).sum(), features)
    expected = torch.zeros_like(grad)
    for b, v, i, j in np.ndindex(2, 3, 6, 8):
        if index[b, v, i, j] >= 0:
            expected[b, index[b, v, i, j]] += weight[b, v, :, i, j]
    assert torch.allclose(grad, expected)
    assert (grad[0] == 0).all(1).any() and (grad != 0).any()


def test_views_without_points_are_empty():
    projector, camera = PointProjector(), front_camera()
    for points in (torch.zeros(1, 0, 3), cloud((0.0, 0.0, -1.0))):
        uv, z, visible = projector.visible(points, camera)
        index = projector.pixel_index(uv, z, visible, (9, 9))
        picture, mask = projector.scatter(torch.ones(1, points.shape[1], 4), index)
        assert not visible.any() and not mask.any() and (picture == 0).all()
        assert picture.shape == (1, 1, 4, 9, 9)
        assert projector.sample(picture, uv, (9, 9)).shape == (1, 1, points.shape[1], 4)


def test_scatter_then_sample_returns_the_features():
    """At pixel centres a map gives back what was put in; several samples do not mix."""
    cameras, depth = box_views((30, 40))
    projector = PointProjector(1e-3)
    lifted, mask = projector.lift(depth, cameras)
    camera = cameras.select_views(0)
    points = lifted[:, 0][mask[:, 0]][None].repeat(2, 1, 1)
    features = torch.rand(2, points.shape[1], 5)
    uv, z, visible = projector.visible(points, camera, depth[:, :1].repeat(2, 1, 1, 1))
    picture, _ = projector.scatter(features, projector.pixel_index(uv, z, visible, (30, 40)))
    found = projector.sample(picture, uv, (30, 40), visible)[:, 0]
    assert torch.allclose(found, features, atol=1e-3)


# ----------------------------------------------------------------- projection matrices


def test_cameras_of_projection_matrices():
    cameras = orbit_views(3, 25, image_size=(40, 60)).to(torch.double)
    matrix = cameras.intrinsics @ cameras.extrinsics[..., :3, :]
    points = torch.randn(1, 20, 3, dtype=torch.double)
    mirrored = transform_cameras(cameras, flip=True)
    for expected, given in (
        (cameras, matrix),
        (cameras, 7 * matrix[..., :3, :]),  # a matrix means the same at any scale
        (mirrored, mirrored.intrinsics @ cameras.extrinsics[..., :3, :]),
    ):
        found = cameras_from_projection(given, (40, 60))
        # the rotations of the views are orthogonal to single precision
        assert torch.allclose(found.intrinsics, expected.intrinsics, atol=1e-5)
        assert torch.allclose(found.extrinsics, expected.extrinsics, atol=1e-6)
        for ours, theirs in zip(found.project(points), expected.project(points)):
            assert torch.allclose(ours, theirs)


def test_mistakes_are_named():
    camera, projector, points = front_camera(), PointProjector(), cloud((0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match='tolerance must be positive, got 0'):
        TASK_UTILS.build(dict(type='PointProjector', tolerance=0))
    with pytest.raises(ValueError, match="got 'reflect'"):
        PointProjector(padding='reflect')
    with pytest.raises(ValueError, match=r'points must be \(B, N, 3\)'):
        projector.visible(points[0], camera)
    with pytest.raises(ValueError, match=r'depth must be .*got \(1, 9, 9\)'):
        projector.visible(points, camera, torch.ones(1, 9, 9))
    with pytest.raises(ValueError, match=r'lengths must be \(1,\)'):
        projector.visible(points, camera, lengths=torch.ones(2, dtype=torch.long))
    uv = projector.visible(points, camera)[0]
    with pytest.raises(ValueError, match='feature_map must be'):
        projector.sample(torch.ones(1, 3, 9, 9), uv, (9, 9))
    with pytest.raises(ValueError, match='features must be .* with B = 2'):
        projector.scatter(torch.ones(1, 4, 3), torch.zeros(2, 1, 9, 9, dtype=torch.long))
    with pytest.raises(ValueError, match='view 1 of sample 0 is no perspective projection'):
        cameras_from_projection(torch.stack([torch.eye(4), torch.zeros(4, 4)])[None], (9, 9))
    with pytest.raises(ValueError, match='matrix must be'):
        cameras_from_projection(torch.eye(4), (9, 9))
    with pytest.raises(ValueError, match='scale must be positive'):
        transform_cameras(camera, scale=(0.0, 1.0))
    with pytest.raises(ValueError, match='is smaller than image_size'):
        transform_cameras(camera, pad_size=(4, 4))


@pytest.mark.gpu
def test_gpu_agrees_with_cpu():
    points, cameras, depth = scene()
    results = []
    for device in ('cpu', 'cuda'):
        projector = PointProjector(0.3)
        uv, z, visible = projector.visible(points.to(device), cameras, depth.to(device))
        index = projector.pixel_index(uv, z, visible, (12, 17))
        picture, _ = projector.scatter(points.to(device), index)
        sampled = projector.sample(picture, uv, (12, 17), visible)
        results.append([t.cpu() for t in (uv, visible.double(), index.double(), sampled)])
    for ours, other in zip(*results):
        assert torch.allclose(ours, other, atol=1e-9)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_keeps_positions(dtype):
    points, cameras, depth = scene(size=(200, 300), dtype=torch.float32)
    projector, points = PointProjector(), points.to(dtype)
    uv, z, visible = projector.visible(points, cameras)
    assert uv.dtype == z.dtype == torch.float32
    assert torch.equal(uv, cameras.project(points.float())[0])
    maps = torch.rand(2, 3, 4, 200, 300).to(dtype)
    sampled = projector.sample(maps, uv, (200, 300), visible)
    expected = projector.sample(maps.float(), uv, (200, 300), visible)
    assert sampled.dtype == dtype and torch.equal(sampled, expected.to(dtype))
    lifted, _ = projector.lift(depth.to(dtype), cameras)
    assert torch.equal(lifted, projector.lift(depth.to(dtype).float(), cameras)[0])


def test_autocast_does_not_move_cameras_and_points():
    _, cameras, depth = scene(size=(200, 300), dtype=torch.float32)
    change = dict(scale=(0.5, 0.3), crop=(3.0, 2.0), flip=True, image_size=(50, 100))
    lifted, changed = PointProjector().lift(depth, cameras)[0], transform_cameras(cameras, **change)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(PointProjector().lift(depth, cameras)[0], lifted)
        assert torch.equal(transform_cameras(cameras, **change).intrinsics, changed.intrinsics)
