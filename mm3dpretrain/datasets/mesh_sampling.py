"""Points on the surface of a triangle mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mm3dpretrain.ops.rasterize import check_mesh, face_normals


class SurfaceSamples(NamedTuple):
    """N points on a surface.

    Attributes:
        points: (N, 3) float32, unit of the mesh.
        normals: (N, 3) float32 unit normals of the faces, counter-clockwise outwards.
        face_index: (N,) int64 the face of each point.
        bary: (N, 3) float64 weights of its corners, their sum is 1.
    """

    points: np.ndarray
    normals: np.ndarray
    face_index: np.ndarray
    bary: np.ndarray


def sample_mesh(
    vertices, faces, num: int, rng: np.random.Generator | int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, normals and face indices of :func:`sample_surface`."""
    return sample_surface(vertices, faces, num, rng)[:3]


def sample_surface(
    vertices, faces, num: int, rng: np.random.Generator | int | None = None
) -> SurfaceSamples:
    """Draw points uniformly by area from the faces of a mesh.

    The number of points on each face follows the area in equal steps (systematic sampling), so
    small clouds cover a surface more evenly than by independent draws; inside a face points are
    independent and uniform. The order of the points is random.

    Args:
        vertices: (V, 3), unit of the mesh.
        faces: (F, 3) integers; faces without area get no points.
        num: number of points, at least 1.
        rng: generator or seed; None draws a new one.

    Returns:
        :class:`SurfaceSamples`.

    Raises:
        ValueError: for no faces, NaN or infinite vertices, faces of missing vertices, a mesh whose
            total area is zero, or ``num < 1``.
    """
    if num < 1:
        raise ValueError(f'num must be at least 1, got {num}')
    vertices, faces = check_mesh(vertices, faces)
    if len(faces) == 0:
        raise ValueError(f'cannot sample a mesh without faces ({len(vertices)} vertices)')
    rng = np.random.default_rng(rng)
    normals, areas = face_normals(vertices, faces)
    cumulative = np.cumsum(areas)
    if not cumulative[-1] > 0:
        raise ValueError(f'cannot sample a mesh of zero area ({len(faces)} faces)')
    position = (np.arange(num) + rng.random()) / num * cumulative[-1]
    index = np.searchsorted(cumulative, position, side='right')
    # rounding may put the last position at the very end, behind the last face that has an area
    index = np.minimum(index, int(np.flatnonzero(areas > 0)[-1]))
    index = index[rng.permutation(num)]
    # uniform in a triangle: fold the unit square along its diagonal
    u, v = rng.random((2, num, 1))
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    a, b, c = (vertices[faces[index, k]] for k in range(3))
    points = a + u * (b - a) + v * (c - a)
    return SurfaceSamples(
        points.astype(np.float32),
        normals[index].astype(np.float32),
        index,
        np.concatenate([1 - u - v, u, v], axis=1),
    )
