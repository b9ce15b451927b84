"""Building blocks of meshes: closed, with faces counter-clockwise seen from outside.

All functions work in float64, in the frame of the shapes (+y up), and return a new :class:`Mesh`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Mesh(NamedTuple):
    """Triangles: ``vertices`` (V, 3) float64 and ``faces`` (F, 3) int64."""

    vertices: np.ndarray
    faces: np.ndarray

    def move(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """The mesh moved by (x, y, z)."""
        return Mesh(self.vertices + np.array([x, y, z]), self.faces)

    def scale(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Mesh:
        """The mesh stretched about the origin; a mirrored one keeps its outside outside."""
        faces = self.faces[:, ::-1] if x * y * z < 0 else self.faces
        return Mesh(self.vertices * np.array([x, y, z]), faces)

    def rotate(self, axis: str, degrees: float) -> Mesh:
        """The mesh turned about an axis through the origin ('x', 'y' or 'z'), right-handed."""
        return Mesh(self.vertices @ rotation(axis, degrees).T, self.faces)


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Rotation matrix (3, 3) about 'x', 'y' or 'z', right-handed, for column vectors."""
    i = 'xyz'.index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    matrix[j, j] = matrix[k, k] = c
    matrix[k, j], matrix[j, k] = s, -s
    return matrix


def merge(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of several."""
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + o for m, o in zip(meshes, offsets)]),
    )


def signed_volume(mesh: Mesh) -> float:
    """Volume of a closed mesh; negative when the faces point inwards."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def box(width: float, height: float, depth: float) -> Mesh:
    """Axis-aligned box along x, y, z, centred on the origin."""
    x, y, z = width / 2, height / 2, depth / 2
    vertices = np.array(
        [[sx * x, sy * y, sz * z] for sx in (-1, 1) for sy in (-1, 1) for sz in (-1, 1)]
    )
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return Mesh(vertices, _quads_to_triangles(np.array(quads)))


def _quads_to_triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _drop_degenerate(mesh: Mesh) -> Mesh:
    """Without faces that use one position twice (poles of a lathe, tips of a loft)."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    keep = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-12
    return Mesh(mesh.vertices, mesh.faces[keep])


def loft(sections: np.ndarray, closed: bool = False) -> Mesh:
    """Skin over a row of closed outlines.

    Args:
        sections: (S, K, 3); outlines run counter-clockwise seen from the end of the row, looking
            back to its start.
        closed: join the last outline to the first one (a ring) instead of putting flat caps on.

    Returns:
        Closed mesh. Caps are fans about the mean of the outline, which must see all of it.
    """
    sections = np.asarray(sections, dtype=np.float64)
    rows, count = sections.shape[:2]
    vertices = sections.reshape(-1, 3)
    ring = np.arange(count)
    following = (ring + 1) % count
    faces = []
    for s in range(rows if closed else rows - 1):
        a, b = s * count, (s + 1) % rows * count
        faces.append(
            _quads_to_triangles(np.stack([a + ring, a + following, b + following, b + ring], 1))
        )
    if not closed:
        vertices = np.concatenate([vertices, sections[[0, -1]].mean(1)])
        first, last = rows * count, (rows - 1) * count
        faces.append(np.stack([np.full(count, first), following, ring], 1))
        faces.append(np.stack([np.full(count, first + 1), last + ring, last + following], 1))
    return _drop_degenerate(Mesh(vertices, np.concatenate(faces)))


def lathe(profile: Sequence[tuple[float, float]], segments: int = 20) -> Mesh:
    """Surface of revolution about the y axis.

    Args:
        profile: (K, 2) radii and heights of a line. It runs upwards on the outside; for a vessel
            with a wall it goes on downwards on the inside. Ends off the axis are closed flat.
        segments: number of steps round the axis.
    """
    profile = np.asarray(profile, dtype=np.float64)
    angle = np.arange(segments) / segments * 2 * np.pi
    radius, height = profile[:, :1], profile[:, 1:]
    # counter-clockwise seen from above: x to -z
    sections = np.stack(
        [
            radius * np.cos(angle),
            np.broadcast_to(height, (len(profile), segments)),
            -radius * np.sin(angle),
        ],
        -1,
    )
    return loft(sections)


def cylinder(
    radius: float,
    height: float,
    top_radius: float | None = None,
    segments: int = 16,
    axis: str = 'y',
) -> Mesh:
    """Cylinder, or frustum, centred on the origin; ``top_radius`` 0 makes a cone."""
    top = radius if top_radius is None else top_radius
    mesh = lathe([(radius, -height / 2), (top, height / 2)], segments)
    return align(mesh, axis)


def align(mesh: Mesh, axis: str) -> Mesh:
    """A mesh made along +y laid along 'x' or 'z'."""
    return {'y': mesh, 'x': mesh.rotate('z', -90), 'z': mesh.rotate('x', 90)}[axis]


def sphere(radius: float, segments: int = 16, rings: int = 9) -> Mesh:
    """Sphere about the origin."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, rings)
    return lathe(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), segments)


def cushion(
    width: float, height: float, depth: float, roundness: float = 0.5, segments: int = 16
) -> Mesh:
    """Superellipsoid between a box (``roundness`` near 0) and an ellipsoid (1), at the origin."""
    unit = sphere(1.0, segments, segments // 2 + 1).vertices
    norm = np.abs(unit) ** (2 / max(roundness, 0.05))
    unit = unit / np.maximum(norm.sum(1, keepdims=True), 1e-30) ** (max(roundness, 0.05) / 2)
    return Mesh(unit, sphere(1.0, segments, segments // 2 + 1).faces).scale(
        width / 2, height / 2, depth / 2
    )


def torus(radius: float, tube_radius: float, segments: int = 20, tube_segments: int = 8) -> Mesh:
    """Ring about the y axis."""
    angle = np.arange(segments) / segments * 2 * np.pi
    path = np.stack([radius * np.cos(angle), np.zeros(segments), -radius * np.sin(angle)], 1)
    return tube(path, tube_radius, tube_segments, closed=True)


def tube(path, radius: float | Sequence[float], segments: int = 8, closed: bool = False) -> Mesh:
    """Round bar along a path.

    Args:
        path: (P, 3) points, no two successive ones equal.
        radius: one for all points, or one for each.
        segments: number of steps round the bar.
        closed: the path is a ring.
    """
    path = np.asarray(path, dtype=np.float64)
    radius = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(path))
    if closed:
        tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    else:
        tangent = np.gradient(path, axis=0)
    tangent = tangent / np.linalg.norm(tangent, axis=1, keepdims=True)
    # carry one normal along the path without twist
    normal = np.eye(3)[np.argmin(np.abs(tangent[0]))]
    normals = []
    for t in tangent:
        normal = normal - (normal @ t) * t
        normal = normal / np.linalg.norm(normal)
        normals.append(normal)
    normals = np.array(normals)
    binormals = np.cross(tangent, normals)
    angle = np.arange(segments) / segments * 2 * np.pi
    circle = (
        normals[:, None] * np.cos(angle)[None, :, None]
        + binormals[:, None] * np.sin(angle)[None, :, None]
    )
    return loft(path[:, None] + radius[:, None, None] * circle, closed)


def bar(start, end, radius: float, end_radius: float | None = None, segments: int = 8) -> Mesh:
    """Straight round bar between two points."""
    return tube([start, end], [radius, radius if end_radius is None else end_radius], segments)


def beam(start, end, width: float, depth: float, end_scale: float = 1.0) -> Mesh:
    """Straight bar of rectangular section between two points that differ mostly in y."""
    corners = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * np.array([width, depth]) / 2
    outline = np.stack([corners[:, 0], np.zeros(4), corners[:, 1]], 1)
    start, end = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    if end[1] < start[1]:
        sections = [end + outline * end_scale, start + outline]
    else:
        sections = [start + outline, end + outline * end_scale]
    return loft(np.array(sections))


def extrude(outline, depth: float) -> Mesh:
    """Plate of a simple polygon in the x-y plane, ``depth`` along z, centred on z = 0.

    Args:
        outline: (K, 2) corners in either sense of rotation; the polygon may be concave.
    """
    outline = np.asarray(outline, dtype=np.float64)
    if polygon_area(outline) < 0:
        outline = outline[::-1]
    count = len(outline)
    caps = triangulate(outline)
    ring = np.arange(count)
    following = (ring + 1) % count
    vertices = np.concatenate(
        [np.column_stack([outline, np.full(count, z)]) for z in (-depth / 2, depth / 2)]
    )
    sides = np.stack([ring, following, following + count, ring + count], 1)
    return Mesh(vertices, np.concatenate([caps[:, ::-1], caps + count, _quads_to_triangles(sides)]))


def polygon_area(outline: np.ndarray) -> float:
    """Area of a polygon (K, 2), positive when counter-clockwise."""
    x, y = outline.T
    return float(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def triangulate(outline: np.ndarray) -> np.ndarray:
    """Triangles (K - 2, 3) of a counter-clockwise simple polygon (K, 2), by cutting ears.

    Raises:
        ValueError: if no ear is left: the corners run clockwise, or the outline crosses itself.
    """
    left = list(range(len(outline)))
    triangles = []
    while len(left) > 3:
        for n, here in enumerate(left):
            before, after = left[n - 1], left[(n + 1) % len(left)]
            a, b, c = outline[before], outline[here], outline[after]
            if _cross(b - a, c - a) <= 1e-12:
                continue
            others = outline[[k for k in left if k not in (before, here, after)]]
            inside = (
                (_cross(b - a, others - a) > -1e-12)
                & (_cross(c - b, others - b) > -1e-12)
                & (_cross(a - c, others - c) > -1e-12)
            )
            if not inside.any():
                triangles.append((before, here, after))
                left.pop(n)
                break
        else:
            raise ValueError(f'cannot triangulate a polygon of {len(outline)} corners')
    triangles.append(tuple(left))
    return np.array(triangles, dtype=np.int64)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def smooth_curve(points, count: int = 12) -> np.ndarray:
    """``count`` points on a Catmull-Rom curve (centripetal by even spacing) through ``points``.

    Args:
        points: (K, D) with K >= 2, any dimension.
    """
    points = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, len(points) - 1, count)
    k = np.minimum(t.astype(int), len(points) - 2)
    f = (t - k)[:, None]
    p0, p1, p2, p3 = (padded[k + n] for n in range(4))
    return 0.5 * (
        2 * p1
        + (p2 - p0) * f
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * f**2
        + (3 * p1 - p0 - 3 * p2 + p3) * f**3
    )


def subdivide_long_edges(
    mesh: Mesh, longest: float, max_rounds: int = 6
) -> tuple[Mesh, np.ndarray]:
    """Halve every edge longer than ``longest`` until none is left (or ``max_rounds`` are over).

    An edge is cut or not by its own length, so neighbours agree and no gap opens.

    Returns:
        The mesh and, for each of its faces, the index of the face that it came from.
    """
    vertices, faces = mesh
    origin = np.arange(len(faces))
    for _ in range(max_rounds):
        edges = np.sort(faces[:, [[1, 2], [2, 0], [0, 1]]], axis=-1)
        length = np.linalg.norm(vertices[edges[..., 0]] - vertices[edges[..., 1]], axis=-1)
        cut = length > longest
        if not cut.any():
            break
        unique, inverse = np.unique(edges[cut], axis=0, return_inverse=True)
        middle = np.full(cut.shape, -1)
        middle[cut] = len(vertices) + inverse.ravel()
        vertices = np.concatenate([vertices, vertices[unique].mean(1)])
        new_faces, new_origin = [faces[~cut.any(1)]], [origin[~cut.any(1)]]
        for pattern in range(1, 8):
            flags = np.array([pattern & 1, pattern & 2, pattern & 4], dtype=bool)
            chosen = (cut == flags).all(1)
            if not chosen.any():
                continue
            # corners 0 1 2, middles of the opposite edges 3 4 5
            table = np.concatenate([faces[chosen], middle[chosen]], 1)
            for triangle in _CUTS[tuple(flags)]:
                new_faces.append(table[:, triangle])
                new_origin.append(origin[chosen])
        faces, origin = np.concatenate(new_faces), np.concatenate(new_origin)
    return Mesh(vertices, faces), origin


def _cut_patterns() -> dict[tuple[bool, bool, bool], list[list[int]]]:
    """How to divide a face whose edges opposite to the flagged corners are halved."""
    patterns = {(True, True, True): [[0, 5, 4], [5, 1, 3], [4, 3, 2], [3, 4, 5]]}
    for k in range(3):
        a, b, c = k, (k + 1) % 3, (k + 2) % 3
        one = [False, False, False]
        one[a] = True  # the edge b-c is halved
        patterns[tuple(one)] = [[a, b, 3 + a], [a, 3 + a, c]]
        two = [True, True, True]
        two[a] = False  # the edges c-a and a-b are halved
        patterns[tuple(two)] = [[a, 3 + c, 3 + b], [3 + c, b, c], [3 + c, c, 3 + b]]
    return patterns


_CUTS = _cut_patterns()
