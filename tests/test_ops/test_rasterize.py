"""Mesh rasteriser: reference vectors, a naive twin, clipping at the near plane, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.ops.rasterize import face_normals, rasterize_mesh
from mm3dpretrain.structures.cameras import Cameras, look_at

GOLDEN_MESHES = ('mesh_bumpy_ellipsoid', 'mesh_three_arms', 'mesh_two_triangles')


def make_cameras(rotation, translation, matrix, image_size, projection='perspective') -> Cameras:
    extrinsics = np.eye(4, dtype=np.float32)
    extrinsics[:3, :3], extrinsics[:3, 3] = rotation, translation
    return Cameras(
        torch.from_numpy(extrinsics)[None, None],
        torch.tensor(np.asarray(matrix, dtype=np.float32))[None, None],
        tuple(int(s) for s in image_size),
        projection,
    )


def simple_cameras(size=(9, 11), focal=6.0, distance=0.0, projection='perspective') -> Cameras:
    matrix = [[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]]
    return make_cameras(np.eye(3), [0, 0, distance], matrix, size, projection)


def naive_rasterize(vertices, faces, cameras, near=1e-3):
    """Ray against every triangle for every pixel, in float64 (Moeller and Trumbore)."""
    height, width = cameras.image_size
    rotation = cameras.extrinsics[0, 0, :3, :3].double().numpy()
    translation = cameras.extrinsics[0, 0, :3, 3].double().numpy()
    inverse = np.linalg.inv(cameras.intrinsics[0, 0].double().numpy())
    cam = np.asarray(vertices, dtype=np.float64) @ rotation.T + translation
    index = np.full((height, width), -1)
    depth = np.full((height, width), np.inf)
    bary = np.zeros((height, width, 3))
    for i in range(height):
        for j in range(width):
            ray = inverse @ [j + 0.5, i + 0.5, 1]
            origin, direction = np.zeros(3), ray
            if cameras.projection == 'orthographic':
                origin, direction = np.array([ray[0], ray[1], 0]), np.array([0, 0, 1.0])
            for f, (a, b, c) in enumerate(faces):
                e1, e2, s = cam[b] - cam[a], cam[c] - cam[a], origin - cam[a]
                p = np.cross(direction, e2)
                det = e1 @ p
                if abs(det) < 1e-14:
                    continue
                u, v = s @ p / det, direction @ np.cross(s, e1) / det
                t = e2 @ np.cross(s, e1) / det
                if u >= 0 and v >= 0 and u + v <= 1 and near <= t < depth[i, j]:
                    index[i, j], depth[i, j], bary[i, j] = f, t, (1 - u - v, u, v)
    return index, np.where(index < 0, 0, depth), bary


@pytest.mark.parametrize('name', GOLDEN_MESHES)
def test_equals_the_reference(golden, name):
    arrays = golden(f'render/{name}.npz')
    for view in sorted({key.split('/')[0] for key in arrays if '/' in key}):
        data = {key.split('/')[1]: value for key, value in arrays.items() if key.startswith(view)}
        projection = 'orthographic' if view.startswith('ortho') else 'perspective'
        cameras = make_cameras(data['R'], data['t'], data['K'], data['image_hw'], projection)
        out = rasterize_mesh(arrays['verts'], arrays['faces'], cameras)
        expected = data['pix_to_face'][..., 0]
        safe = data['safe']
        assert safe.mean() > 0.5
        np.testing.assert_array_equal(out.face_index[0][safe], expected[safe])
        seen = safe & (expected >= 0)
        assert seen.any()
        np.testing.assert_allclose(out.depth[0][seen], data['zbuf'][..., 0][seen], atol=3e-5)
        np.testing.assert_allclose(out.bary[0][seen], data['bary'][:, :, 0][seen], atol=1e-4)


def test_plane_has_its_analytic_depth(golden):
    data = golden('render/mesh_plane.npz')
    cameras = make_cameras(data['R'], data['t'], data['K'], data['zbuf'].shape)
    out = rasterize_mesh(data['verts'], data['faces'], cameras)
    np.testing.assert_allclose(out.depth[0], data['analytic_depth'], atol=1e-5)


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_equals_the_naive_twin(projection):
    rng = np.random.default_rng(3)
    vertices = rng.uniform(-1, 1, (30, 3))
    faces = rng.permutation(30).reshape(10, 3)
    cameras = simple_cameras((12, 14), 9.0, 2.0, projection)
    out = rasterize_mesh(vertices, faces, cameras)
    index, depth, bary = naive_rasterize(vertices, faces, cameras)
    assert (index >= 0).mean() > 0.2
    np.testing.assert_array_equal(out.face_index[0], index)
    np.testing.assert_allclose(out.depth[0], depth, atol=1e-5)
    np.testing.assert_allclose(out.bary[0], bary, atol=1e-5)
    assert out.face_index.dtype == np.int32 and out.depth.dtype == out.bary.dtype == np.float32


@pytest.mark.parametrize('projection', ['perspective', 'orthographic'])
def test_faces_are_drawn_up_to_the_near_plane(projection):
    rng = np.random.default_rng(5)
    vertices = rng.uniform(-1, 1, (36, 3)) * [1, 1, 2]  # many corners lie behind the camera
    faces = rng.permutation(36).reshape(12, 3)
    cameras = simple_cameras((11, 13), 5.0, 0.2, projection)
    out = rasterize_mesh(vertices, faces, cameras, near=0.3)
    index, depth, _ = naive_rasterize(vertices, faces, cameras, near=0.3)
    crossing = ((vertices[faces][..., 2] + 0.2 < 0.3).any(1)) & (
        (vertices[faces][..., 2] + 0.2 > 0.3).any(1)
    )
    assert crossing[np.unique(index[index >= 0])].any()
    np.testing.assert_array_equal(out.face_index[0], index)
    np.testing.assert_allclose(out.depth[0], depth, atol=1e-5)


def test_ground_that_runs_under_the_camera_fills_the_lower_half():
    vertices = np.array([[-50, 1, -50], [50, 1, -50], [50, 1, 50], [-50, 1, 50.0]])
    out = rasterize_mesh(vertices, [[0, 1, 2], [0, 2, 3]], simple_cameras((10, 10), 5.0))
    mask = out.face_index[0] >= 0
    assert mask[6:].all() and not mask[:5].any()
    np.testing.assert_allclose(out.depth[0, 9], 5.0 / 4.5, rtol=1e-5)


def test_bary_of_the_face_gives_the_point_that_the_pixel_sees():
    rng = np.random.default_rng(0)
    vertices, faces = rng.uniform(-1, 1, (12, 3)), np.arange(12).reshape(4, 3)
    cameras = simple_cameras((16, 16), 12.0, 2.5)
    out = rasterize_mesh(vertices, faces, cameras)
    seen = out.face_index[0] >= 0
    corners = vertices[faces[out.face_index[0][seen]]]
    points = (out.bary[0][seen][..., None] * corners).sum(1)
    expected = cameras.unproject(torch.from_numpy(out.depth)[None])[0, 0].numpy()[seen]
    np.testing.assert_allclose(points, expected, atol=1e-5)


def test_shared_edges_leave_no_hole():
    # a fan about a pixel centre: many edges run exactly through pixel centres
    angle = np.linspace(0, 2 * np.pi, 17)[:-1]
    ring = np.stack([10 * np.cos(angle), 10 * np.sin(angle), np.full(16, 1.0)], 1)
    vertices = np.concatenate([ring, [[0, 0, 1.0]]])
    faces = np.array([[k, (k + 1) % 16, 16] for k in range(16)])
    for projection in ('perspective', 'orthographic'):
        out = rasterize_mesh(vertices, faces, simple_cameras((15, 15), 3.0, 0.0, projection))
        assert (out.face_index >= 0).all()


def test_views_are_independent():
    rng = np.random.default_rng(1)
    vertices, faces = rng.uniform(-0.5, 0.5, (12, 3)), np.arange(12).reshape(4, 3)
    eyes = torch.tensor([[0.0, 0.2, 3.0], [2.0, 1.0, -2.0], [-3.0, 0.0, 0.5]])
    matrix = torch.tensor([[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]).expand(1, 3, 3, 3)
    cameras = Cameras(look_at(eyes)[None], matrix, (16, 16))
    together = rasterize_mesh(vertices, faces, cameras)
    for view in range(3):
        alone = rasterize_mesh(vertices, faces, cameras.select_views(view))
        np.testing.assert_array_equal(together.face_index[view], alone.face_index[0])
        np.testing.assert_array_equal(together.depth[view], alone.depth[0])


def test_normals_and_areas():
    square = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    normals, areas = face_normals(square, faces)
    np.testing.assert_allclose(normals, [[0, 0, 1], [0, 0, 1]])
    np.testing.assert_allclose(areas, [2, 2])
    normals, areas = face_normals(square, np.array([[0, 0, 1]]))
    assert areas[0] == 0 and np.isfinite(normals).all()


def test_refusals_name_the_value():
    vertices = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1.0]])
    faces = np.array([[0, 1, 2]])
    cameras = simple_cameras()
    with pytest.raises(ValueError, match='behind the camera'):
        rasterize_mesh(vertices - [0, 0, 3], faces, cameras)
    with pytest.raises(ValueError, match='number 1'):
        rasterize_mesh(np.where(np.eye(3)[1][:, None] > 0, np.nan, vertices), faces, cameras)
    with pytest.raises(ValueError, match='0 to 7'):
        rasterize_mesh(vertices, [[0, 1, 7]], cameras)
    with pytest.raises(ValueError, match='integers'):
        rasterize_mesh(vertices, faces.astype(float), cameras)
    with pytest.raises(ValueError, match=r'\(V, 3\)'):
        rasterize_mesh(vertices[:, :2], faces, cameras)
    with pytest.raises(ValueError, match='batch 1, got 2'):
        rasterize_mesh(vertices, faces, cameras.expand(2))
    with pytest.raises(ValueError, match='near'):
        rasterize_mesh(vertices, faces, cameras, near=0.0)


def test_faces_without_area_are_not_drawn():
    # a line along the row of a pixel centre whose corners do not cancel exactly, and a point
    vertices = np.array([[-0.3, 0, 1.1], [0.1, 0, 1.1], [0.7, 0, 1.1], [0.0, 0, 1.1]])
    faces = np.array([[0, 1, 2], [0, 2, 2], [3, 3, 3]])
    out = rasterize_mesh(vertices, faces, simple_cameras((9, 11), 6.0))
    assert (out.face_index == -1).all()


def test_mesh_without_faces_is_background():
    out = rasterize_mesh(np.zeros((1, 3)) + 1, np.zeros((0, 3), int), simple_cameras())
    assert (out.face_index == -1).all() and (out.depth == 0).all()
