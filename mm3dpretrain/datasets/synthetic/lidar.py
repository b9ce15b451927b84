"""A spinning LiDAR: rays against a triangle mesh, then what a real sensor adds and loses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mm3dpretrain.ops.mesh_kernels import compile_loop
from mm3dpretrain.ops.rasterize import check_mesh, face_normals

LEAF_SIZE = 4  # triangles
MAX_DEPTH = 64  # of the stack of a walk; the splits halve, so any mesh in memory fits


@compile_loop
def _select(order, key, first, last, middle):
    """Reorder ``order[first:last]`` so that position ``middle`` holds its median (Hoare)."""
    low, high = first, last - 1
    while low < high:
        pivot = key[order[(low + high) // 2]]
        i, j = low, high
        while i <= j:
            while key[order[i]] < pivot:
                i += 1
            while key[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            return


@compile_loop
def _build(corners):
    """Median-split tree: bounds (M, 6), first child or -1 (M,), triangle range (M, 2), order."""
    count = corners.shape[0]
    center = np.empty((3, count))
    for t in range(count):
        for a in range(3):
            center[a, t] = (corners[t, 0, a] + corners[t, 1, a] + corners[t, 2, a]) / 3.0
    order = np.arange(count)
    size = 2 * count + 1
    bounds = np.empty((size, 6))
    child = np.full(size, -1)
    extent = np.zeros((size, 2), np.int64)
    extent[0, 1] = count
    nodes = 1
    node = 0
    while node < nodes:
        first, last = extent[node]
        for a in range(3):
            low, high = np.inf, -np.inf
            for n in range(first, last):
                for k in range(3):
                    value = corners[order[n], k, a]
                    low = min(low, value)
                    high = max(high, value)
            bounds[node, a] = low
            bounds[node, 3 + a] = high
        if last - first > LEAF_SIZE:
            axis, widest = 0, -1.0
            for a in range(3):
                low, high = np.inf, -np.inf
                for n in range(first, last):
                    low = min(low, center[a, order[n]])
                    high = max(high, center[a, order[n]])
                if high - low > widest:
                    widest = high - low
                    axis = a
            middle = (first + last) // 2
            _select(order, center[axis], first, last, middle)
            child[node] = nodes
            extent[nodes, 0], extent[nodes, 1] = first, middle
            extent[nodes + 1, 0], extent[nodes + 1, 1] = middle, last
            nodes += 2
        node += 1
    return bounds[:nodes], child[:nodes], extent[:nodes], order


@compile_loop
def _enters(bounds, node, origin, inverse, nearest):
    """Distance at which a ray enters a box, inf if it misses it or ``nearest`` comes first."""
    near, far = 0.0, nearest
    for a in range(3):
        t0 = (bounds[node, a] - origin[a]) * inverse[a]
        t1 = (bounds[node, 3 + a] - origin[a]) * inverse[a]
        if t0 > t1:
            t0, t1 = t1, t0
        # a ray in the plane of a side gives 0 * inf = NaN: such a comparison keeps the old bound
        if t0 > near:
            near = t0
        if t1 < far:
            far = t1
    return near if near <= far * (1.0 + 1e-12) else np.inf


@compile_loop
def _cast(bounds, child, extent, order, corners, origins, directions, limits, distance, face):
    stack = np.empty(MAX_DEPTH, np.int64)
    inverse = np.empty(3)
    for r in range(origins.shape[0]):
        origin, direction = origins[r], directions[r]
        for a in range(3):
            inverse[a] = 1.0 / direction[a] if direction[a] != 0.0 else np.inf
        best, hit = limits[r], -1
        top = 0
        stack[0] = 0
        while top >= 0:
            node = stack[top]
            top -= 1
            if _enters(bounds, node, origin, inverse, best) == np.inf:
                continue
            if child[node] >= 0:
                left = child[node]
                t_left = _enters(bounds, left, origin, inverse, best)
                t_right = _enters(bounds, left + 1, origin, inverse, best)
                first, second = left, left + 1
                t_first, t_second = t_left, t_right
                if t_right < t_left:
                    first, second = second, first
                    t_first, t_second = t_second, t_first
                if t_second < np.inf:
                    top += 1
                    stack[top] = second
                if t_first < np.inf:
                    top += 1
                    stack[top] = first
                continue
            for n in range(extent[node, 0], extent[node, 1]):
                t = order[n]
                # Moeller and Trumbore, "Fast, Minimum Storage Ray/Triangle Intersection", 1997
                ax, ay, az = corners[t, 0, 0], corners[t, 0, 1], corners[t, 0, 2]
                e1x, e1y, e1z = corners[t, 1, 0] - ax, corners[t, 1, 1] - ay, corners[t, 1, 2] - az
                e2x, e2y, e2z = corners[t, 2, 0] - ax, corners[t, 2, 1] - ay, corners[t, 2, 2] - az
                px = direction[1] * e2z - direction[2] * e2y
                py = direction[2] * e2x - direction[0] * e2z
                pz = direction[0] * e2y - direction[1] * e2x
                det = e1x * px + e1y * py + e1z * pz
                if det == 0.0:
                    continue
                sx, sy, sz = origin[0] - ax, origin[1] - ay, origin[2] - az
                u = (sx * px + sy * py + sz * pz) / det
                if u < 0.0 or u > 1.0:
                    continue
                qx, qy, qz = sy * e1z - sz * e1y, sz * e1x - sx * e1z, sx * e1y - sy * e1x
                v = (direction[0] * qx + direction[1] * qy + direction[2] * qz) / det
                if v < 0.0 or u + v > 1.0:
                    continue
                s = (e2x * qx + e2y * qy + e2z * qz) / det
                # of faces at one distance the one with the smallest number counts
                if s > 0.0 and (s < best or (s == best and (hit < 0 or t < hit))):
                    best = s
                    hit = t
        face[r] = hit
        distance[r] = best if hit >= 0 else np.inf


class TriangleBVH:
    """Bounding-volume hierarchy over the triangles of a mesh, for exact ray casting in float64.

    Args:
        vertices: (V, 3), metres.
        faces: (F, 3) integers, at least one.

    Raises:
        ValueError: for a mesh that is none, or one without faces.
    """

    def __init__(self, vertices, faces) -> None:
        vertices, faces = check_mesh(vertices, faces)
        if len(faces) == 0:
            raise ValueError('a mesh without faces has nothing to hit')
        self.corners = np.ascontiguousarray(vertices[faces])
        self._tree = _build(self.corners)

    def cast(self, origins, directions, max_distance=np.inf) -> tuple[np.ndarray, np.ndarray]:
        """First hit of every ray; both sides of a face count.

        Args:
            origins: (N, 3) or (3,).
            directions: (N, 3); distances are in units of their lengths.
            max_distance: scalar or (N,): farther hits do not count.

        Returns:
            ``distance`` (N,) float64, inf where nothing is hit, and ``face`` (N,) int64, -1 there.

        Raises:
            ValueError: for directions of another shape or of no length.
        """
        directions = np.ascontiguousarray(directions, dtype=np.float64)
        if directions.ndim != 2 or directions.shape[1] != 3:
            raise ValueError(f'directions must be (N, 3), got {directions.shape}')
        if len(directions) and not np.abs(directions).max(1).min() > 0:
            raise ValueError('a direction is zero')
        origins = np.broadcast_to(np.asarray(origins, np.float64), directions.shape)
        limits = np.broadcast_to(np.asarray(max_distance, np.float64), (len(directions),))
        distance = np.empty(len(directions))
        face = np.empty(len(directions), np.int64)
        _cast(
            *self._tree,
            self.corners,
            np.ascontiguousarray(origins),
            directions,
            np.ascontiguousarray(limits),
            distance,
            face,
        )
        return distance, face


def meshes_touch(first, second) -> bool:
    """Whether the surfaces of two meshes cross: an edge of one goes through a face of the other.

    One mesh wholly inside the other does not count.

    Args:
        first: (vertices, faces).
        second: (vertices, faces).
    """
    for (vertices, faces), other in ((first, second), (second, first)):
        tree = TriangleBVH(*other)
        pairs = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), 1), axis=0)
        start, step = vertices[pairs[:, 0]], vertices[pairs[:, 1]] - vertices[pairs[:, 0]]
        keep = np.abs(step).max(1) > 0
        if np.any(tree.cast(start[keep], step[keep], 1.0)[1] >= 0):
            return True
    return False


# --------------------------------------------------------------------------- the sensor


def hdl64_elevations(num_beams: int = 64) -> np.ndarray:
    """Elevations (num_beams,) in degrees, upwards positive, from the top beam to the lowest.

    As KITTI's sensor: the upper half of its 64 beams from +2 in steps of a third of a degree, the
    lower half down to -24.8 in steps of half a degree. Fewer beams are spread over the same
    curve.

    Raises:
        ValueError: for fewer than 1 beam.
    """
    if num_beams < 1:
        raise ValueError(f'num_beams must be at least 1, got {num_beams}')
    upper = 2.0 - np.arange(32) / 3
    lower = np.linspace(upper[-1] - 0.5, -24.8, 32)
    beams = np.concatenate([upper, lower])
    return np.interp(np.linspace(0, 63, num_beams), np.arange(64), beams)


class LidarSweep(NamedTuple):
    """One turn of the sensor; N returns, beam by beam from the top one, each to the left first.

    Attributes:
        points: (N, 4) float32 x, y, z in the sensor's frame (x forward, y left, z up; metres) and
            intensity in [0, 1].
        face: (N,) int64 face that was hit.
        beam: (N,) int32 number of the beam.
        column: (N,) int32 number of the firing.
    """

    points: np.ndarray
    face: np.ndarray
    beam: np.ndarray
    column: np.ndarray


class SpinningLidar(NamedTuple):
    """What the sensor can do.

    Attributes:
        num_beams: see :func:`hdl64_elevations`.
        num_columns: firings per turn; 2083 are 0.17 degrees, as KITTI's sensor at 10 Hz.
        min_range: nearer returns are lost, metres.
        max_range: farther ones too.
        range_noise: standard deviation of the distance, metres.
        dropout: share of the returns that is lost for no reason.
        weakest: returns with less signal (reflectance x cosine of incidence, fading with the
            square of the distance, 1 near the sensor) are lost.
    """

    num_beams: int = 64
    num_columns: int = 2083
    min_range: float = 0.9
    max_range: float = 80.0
    range_noise: float = 0.02
    dropout: float = 0.04
    weakest: float = 0.002

    def rays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit directions (N, 3), beam (N,) and column (N,) of one turn, from the back leftwards.

        Column 0 looks backwards (azimuth 180 degrees), the azimuth then falls: clockwise from
        above.
        """
        elevation = np.radians(hdl64_elevations(self.num_beams))
        azimuth = np.pi - (np.arange(self.num_columns) + 0.5) * 2 * np.pi / self.num_columns
        beam, column = np.meshgrid(
            np.arange(self.num_beams), np.arange(self.num_columns), indexing='ij'
        )
        beam, column = beam.ravel(), column.ravel()
        e, a = elevation[beam], azimuth[column]
        directions = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], 1)
        return directions, beam.astype(np.int32), column.astype(np.int32)

    def scan(self, vertices, faces, reflectance, rng: np.random.Generator) -> LidarSweep:
        """One turn in a scene; the sensor is at its origin.

        The signal of a return is ``reflectance * cos(incidence) * min(1, (20 m / distance)^2)``;
        where it is weaker than ``weakest`` nothing comes back. As the electronics of a real
        sensor do, the intensity makes up for the distance: it is ``reflectance * cos(incidence)``
        with five per cent of noise.

        Args:
            vertices: (V, 3) in the sensor's frame.
            faces: (F, 3).
            reflectance: (F,) in [0, 1].
            rng: random numbers; always as many as there are rays, whatever is hit.
        """
        directions, beam, column = self.rays()
        distance, face = TriangleBVH(vertices, faces).cast(np.zeros(3), directions, self.max_range)
        noise, speckle = rng.standard_normal((2, len(directions)))
        lost = rng.random(len(directions)) < self.dropout
        normals, _ = face_normals(np.asarray(vertices, np.float64), np.asarray(faces))
        cosine = np.abs((normals[face] * directions).sum(1))
        back = np.asarray(reflectance)[face] * cosine
        reach = np.where(face >= 0, distance, self.max_range)
        signal = back * np.minimum(1.0, (20.0 / np.maximum(reach, 1e-3)) ** 2)
        keep = (face >= 0) & ~lost & (signal > self.weakest) & (reach > self.min_range)
        measured = reach[keep] + self.range_noise * noise[keep]
        intensity = np.clip(back[keep] * (1 + 0.05 * speckle[keep]), 0, 1)
        points = np.column_stack([directions[keep] * measured[:, None], intensity])
        return LidarSweep(points.astype(np.float32), face[keep], beam[keep], column[keep])
