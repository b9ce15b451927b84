"""Points drawn from meshes."""

from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.datasets.mesh_sampling import sample_mesh

VERTICES = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0], [0, 0, 5], [0, 0.5, 5.0]])
# areas 1, 1, 1.25 and 0
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 4, 5], [1, 1, 2]])


def test_points_lie_on_their_faces_with_their_normals():
    points, normals, index = sample_mesh(VERTICES, FACES, 500, 0)
    assert points.shape == normals.shape == (500, 3) and index.shape == (500,)
    assert points.dtype == normals.dtype == np.float32
    on_plate = index < 2
    assert (points[on_plate, 2] == 0).all() and (points[~on_plate, 0] == 0).all()
    np.testing.assert_allclose(normals[on_plate], [[0, 0, 1]] * on_plate.sum(), atol=1e-6)
    a, b, c = (VERTICES[FACES[index, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    for p, q in ((a, b), (b, c), (c, a)):
        assert ((np.cross(q - p, points - p) * normal).sum(1) > -1e-6).all()


def test_share_of_a_face_is_its_share_of_the_area():
    _, _, index = sample_mesh(VERTICES, FACES, 3250, 1)
    counts = np.bincount(index, minlength=4)
    assert counts[3] == 0
    np.testing.assert_allclose(counts[:3], [1000, 1000, 1250], atol=1)


def test_uniform_inside_a_triangle():
    points, _, _ = sample_mesh(VERTICES, FACES[:1], 20000, 2)
    np.testing.assert_allclose(points.mean(0), VERTICES[FACES[0]].mean(0), atol=0.01)
    # a triangle similar to the whole one, half as long at the corner 0, has a quarter of the area
    assert (points[:, 0] < 1).mean() == pytest.approx(0.25, abs=0.01)


def test_same_seed_same_points_and_random_order():
    first = sample_mesh(VERTICES, FACES, 64, np.random.default_rng(7))
    second = sample_mesh(VERTICES, FACES, 64, 7)
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], sample_mesh(VERTICES, FACES, 64, 8)[0])
    # the first half of the points must cover the shape, not only its first faces
    assert len(np.unique(first[2][:32])) == 3


def test_one_point():
    points, _, index = sample_mesh(VERTICES, FACES, 1, 0)
    assert points.shape == (1, 3) and index[0] in (0, 1, 2)


def test_refusals():
    with pytest.raises(ValueError, match='without faces'):
        sample_mesh(VERTICES, np.zeros((0, 3), int), 5)
    with pytest.raises(ValueError, match='zero area'):
        sample_mesh(VERTICES, FACES[3:], 5)
    with pytest.raises(ValueError, match='zero area'):
        sample_mesh(np.ones((6, 3)), FACES, 5)
    broken = VERTICES.copy()
    broken[4, 1] = np.inf
    with pytest.raises(ValueError, match='NaN or infinite, the first is number 4'):
        sample_mesh(broken, FACES, 5)
    with pytest.raises(ValueError, match='num must be at least 1, got 0'):
        sample_mesh(VERTICES, FACES, 0)
