"""Smooth random deformations of whole shapes, and their place in the unit sphere."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mm3dpretrain.datasets.synthetic.primitives import Mesh, rotation, subdivide_long_edges
from mm3dpretrain.ops.rasterize import face_normals

ROTATIONS = ('none', 'yaw', 'so3')


class Deformation(NamedTuple):
    """Strength of the random deformations; 0 switches one off.

    Attributes:
        stretch: each axis is scaled by ``exp(u)`` with u uniform in +-log of this factor (>= 1).
        taper: largest relative change of the cross-section over the height.
        bend: largest bend along a random horizontal direction, radians over the height.
        twist: largest turn about the vertical over the height, radians.
        shear: largest sideways lean per height.
    """

    stretch: float = 1.5
    taper: float = 0.35
    bend: float = 0.45
    twist: float = 0.35
    shear: float = 0.2


def deform(mesh: Mesh, rng: np.random.Generator, how: Deformation) -> tuple[Mesh, np.ndarray]:
    """Stretch, taper, twist, bend and shear a mesh.

    Long edges are halved first, so that they bend too.

    Returns:
        The mesh and, for each of its faces, the face of the input that it is a piece of.
    """
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    size = float((high - low).max())
    mesh, origin = subdivide_long_edges(mesh, 0.3 * size)
    x = (mesh.vertices - (low + high) / 2) / size  # within +-0.5
    x = x * np.exp(rng.uniform(-1, 1, 3) * np.log(how.stretch))
    heading, taper, twist, bend, lean = rng.uniform(-1, 1, 5)
    x = x @ rotation('y', 180 * heading).T
    height = x[:, 1:2]
    flat = x[:, [0, 2]] * (1 + taper * how.taper * 2 * height)
    angle = (twist * how.twist * height)[:, 0]
    c, s = np.cos(angle), np.sin(angle)
    flat = np.stack([c * flat[:, 0] + s * flat[:, 1], c * flat[:, 1] - s * flat[:, 0]], 1)
    x = np.stack([flat[:, 0], height[:, 0], flat[:, 1]], 1)
    # a bend of the upright line into an arc, to second order: no fold whatever the shape's width
    x[:, 0] += bend * how.bend * x[:, 1] ** 2 + lean * how.shear * x[:, 1]
    x = x @ rotation('y', -180 * heading).T
    return Mesh(x, mesh.faces), origin


def to_unit_sphere(mesh: Mesh) -> Mesh:
    """The mesh with the centre of its surface (mean over the area) at the origin and radius 1."""
    _, areas = face_normals(mesh.vertices, mesh.faces)
    centers = mesh.vertices[mesh.faces].mean(1)
    x = mesh.vertices - (areas[:, None] * centers).sum(0) / areas.sum()
    return Mesh(x / np.linalg.norm(x, axis=1).max(), mesh.faces)


def random_rotation(rng: np.random.Generator, kind: str) -> np.ndarray:
    """A rotation matrix: 'none', 'yaw' (about +y) or 'so3' (uniform).

    Raises:
        ValueError: for another kind.
    """
    if kind not in ROTATIONS:
        raise ValueError(f'rotation must be one of {ROTATIONS}, got {kind!r}')
    if kind == 'none':
        return np.eye(3)
    if kind == 'yaw':
        return rotation('y', float(rng.uniform(0, 360)))
    q = rng.standard_normal(4)
    w, x, y, z = q / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
