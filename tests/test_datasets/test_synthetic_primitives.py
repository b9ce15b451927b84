"""Building blocks of the embedded shapes."""

from __future__ import annotations

import numpy as np
import pytest

from mm3dpretrain.datasets.synthetic import (
    primitives,
)


def edge_counts(mesh: primitives.Mesh) -> np.ndarray:
    """How many faces share each edge, corners at one position taken as one."""
    _, corner = np.unique(np.round(mesh.vertices, 9), axis=0, return_inverse=True)
    faces = corner.ravel()[mesh.faces]
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(edges, axis=0, return_counts=True)[1]


LINE = primitives.smooth_curve([(0, 0, 0), (1, 1, 0), (0, 2, 1)])
CONCAVE = [(0, 0), (2, 0), (2, 1), (1, 0.3), (0, 1)]
BLOCKS = {
    'box': (primitives.box(1, 2, 3), 6.0),
    'cylinder': (primitives.cylinder(1, 2, segments=64), 2 * np.pi),
    'cone': (primitives.cylinder(1, 3, 0, segments=64), np.pi),
    'cylinder along x': (primitives.cylinder(1, 2, segments=64, axis='x'), 2 * np.pi),
    'cylinder along z': (primitives.cylinder(1, 2, segments=64, axis='z'), 2 * np.pi),
    'sphere': (primitives.sphere(1, 48, 48), 4 / 3 * np.pi),
    'torus': (primitives.torus(1, 0.3, 48, 48), 2 * np.pi**2 * 0.09),
    'tube': (primitives.tube([(0, 0, 0), (0, 0, 2)], 1, 64), 2 * np.pi),
    'bar': (primitives.bar((0, 0, 0), (0, 3, 0), 1, 0, 64), np.pi),
    'beam': (primitives.beam((0, 0, 0), (1, -2, 0), 0.1, 0.2), 0.04),
    'pot': (primitives.lathe([(1, 0), (1, 2), (0.5, 2), (0.5, 1), (0, 1)], 64), 1.75 * np.pi),
    'extrusion': (primitives.extrude(CONCAVE, 2), 2.6),
    'clockwise extrusion': (primitives.extrude(CONCAVE[::-1], 2), 2.6),
    'cushion': (primitives.cushion(2, 2, 2, 1.0, 48), 4 / 3 * np.pi),
    'mirrored box': (primitives.box(1, 2, 3).scale(-1, 1, 1), 6.0),
    'turned box': (primitives.box(1, 2, 3).rotate('x', 30).rotate('z', 200).move(4, 5, 6), 6.0),
}


@pytest.mark.parametrize('name', BLOCKS)
def test_blocks_are_closed_and_have_their_volume(name):
    mesh, volume = BLOCKS[name]
    assert (edge_counts(mesh) == 2).all()
    assert primitives.signed_volume(mesh) == pytest.approx(volume, rel=0.01)


def test_curved_tube_is_closed():
    mesh = primitives.tube(LINE, np.linspace(0.2, 0.05, len(LINE)))
    assert (edge_counts(mesh) == 2).all() and primitives.signed_volume(mesh) > 0


def test_alignment_and_rotation():
    tall = primitives.cylinder(0.1, 4)
    for axis, column in (('x', 0), ('y', 1), ('z', 2)):
        size = np.ptp(primitives.align(tall, axis).vertices, axis=0)
        assert size[column] == pytest.approx(4) and np.delete(size, column).max() < 0.3
    turned = primitives.Mesh(np.array([[1.0, 0, 0]]), np.zeros((0, 3), int)).rotate('y', 90)
    np.testing.assert_allclose(turned.vertices, [[0, 0, -1]], atol=1e-12)


def test_curve_goes_through_its_points():
    points = np.array([(0, 0), (1, 2), (3, 1), (4, 4.0)])
    np.testing.assert_allclose(primitives.smooth_curve(points, 7)[::2], points, atol=1e-12)


def test_triangulation_covers_the_polygon():
    outline = np.array(CONCAVE, dtype=float)
    triangles = primitives.triangulate(outline)
    areas = [primitives.polygon_area(outline[t]) for t in triangles]
    assert min(areas) > 0 and sum(areas) == pytest.approx(primitives.polygon_area(outline))
    with pytest.raises(ValueError, match='cannot triangulate'):
        primitives.triangulate(outline[::-1])


def test_subdivision_keeps_the_surface_closed():
    mesh = primitives.extrude(CONCAVE, 2)
    fine, origin = primitives.subdivide_long_edges(mesh, 0.4)
    corners = fine.vertices[fine.faces]
    assert np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1).max() <= 0.4
    assert (edge_counts(fine) == 2).all()
    assert primitives.signed_volume(fine) == pytest.approx(primitives.signed_volume(mesh))
    # each piece lies in the plane of the face that it came from
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)[origin]
    offset = ((corners - a[origin][:, None]) * normal[:, None]).sum(-1)
    np.testing.assert_allclose(offset, 0, atol=1e-9)
