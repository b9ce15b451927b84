from __future__ import annotations

import cv2
import numpy as np
import pytest

from mm3dpretrain.visualization import bounding_sphere, draw_mesh, draw_points


def tetrahedron(axis: str):
    """A narrow tetrahedron along the up axis, with its tip upwards, and another one to the side."""
    up = 'xyz'.index(axis)
    vertices = np.zeros((4, 3))
    vertices[0, up] = 0.9
    vertices[1:, up] = -0.5
    vertices[1, (up + 1) % 3], vertices[2, (up + 2) % 3] = 0.6, 0.3
    vertices[3, (up + 1) % 3] = -0.2
    return vertices, np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])


@pytest.mark.parametrize('axis', 'xyz')
@pytest.mark.parametrize('azimuth', [30.0, 200.0])
def test_mesh_and_points_are_drawn_alike(axis, azimuth):
    vertices, faces = tetrahedron(axis)
    weights = np.random.default_rng(0).dirichlet([1, 1, 1], 6000)
    points = np.concatenate([weights[:1500] @ vertices[face] for face in faces])
    mesh = (draw_mesh(vertices, faces, 96, None, azimuth, axis) < 255).any(-1)
    dots = (draw_points(points, 96, azimuth=azimuth, up_axis=axis) < 255).any(-1)
    # dots reach beyond the border by their radius
    near = cv2.dilate(mesh.astype(np.uint8), np.ones((5, 5))) > 0
    assert (mesh & dots).sum() > 0.97 * mesh.sum() and not (dots & ~near).any()
    assert (dots[:, ::-1] & ~near).any(), 'a mirrored picture would be noticed'
    rows = np.nonzero(mesh.any(1))[0]
    assert mesh[rows[0] : rows[0] + 5].sum() < mesh[rows[-1] - 15 : rows[-1]].sum(), 'tip upwards'


@pytest.mark.parametrize('axis', 'xyz')
def test_the_lamp_is_above_whatever_axis_that_is(axis):
    box = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * 0.4
    quads = []
    for k in range(3):
        for side in (-1, 1):
            corner = np.nonzero(np.sign(box[:, k]) == side)[0]
            quads += [corner[[0, 1, 3]], corner[[0, 3, 2]]]
    picture = draw_mesh(box, np.array(quads), 96, azimuth=45.0, up_axis=axis).astype(int)
    inside = (picture < 255).any(-1)
    rows = np.nonzero(inside[:, 48])[0]
    top = picture[rows[0] + 4, 48].mean()
    assert top > picture[rows[-1] - 6, 44].mean() and top > picture[rows[-1] - 6, 52].mean()


def test_colours_of_a_mesh_are_kept():
    vertices, faces = tetrahedron('y')
    appearance = dict(face_colors=np.tile(np.uint8([255, 0, 0]), (4, 1)))
    picture = draw_mesh(vertices, faces, 48, appearance)
    inside = picture[(picture[..., 1] < 100)]
    assert len(inside) > 50 and (inside[:, 0] > inside[:, 1]).all()


def test_an_empty_cloud_is_an_empty_picture():
    assert (draw_points(np.zeros((0, 3)), 32) == 255).all()


def test_bounding_sphere_holds_all_points():
    points = np.random.default_rng(0).normal(size=(50, 4)) + [5, -3, 2, 9]
    center, radius = bounding_sphere(points)
    distance = np.linalg.norm(points[:, :3] - center, axis=1)
    assert distance.max() == pytest.approx(radius) and center.shape == (3,)
    assert bounding_sphere(np.ones((3, 3)))[1] > 0
