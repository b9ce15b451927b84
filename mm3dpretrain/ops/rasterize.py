"""Z-buffer rasteriser for triangle meshes on the CPU, not differentiable.

:func:`rasterize_mesh` is for data preparation; its inner loop also serves ``MeshRenderer``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np

from mm3dpretrain.structures.cameras import Cameras


class Rasterization(NamedTuple):
    """What each pixel sees.

    Attributes:
        face_index: (V, H, W) int32, the front-most face, -1 for background.
        depth: (V, H, W) float32, z in the camera frame at the pixel centre, 0 for background.
        bary: (V, H, W, 3) float32 barycentric weights of the face's corners on the surface
            (perspective-correct), 0 for background.
    """

    face_index: np.ndarray
    depth: np.ndarray
    bary: np.ndarray


def _compile(function: Callable) -> Callable:
    """Compile at the first call, without the GIL, and keep the machine code on disk if possible."""
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return numba.njit(nogil=True)(function)


@_compile
def corner_edges(points, faces, f, perspective, h, edge):
    """Homogeneous corners ``h`` (3, 3) and edge functions ``edge`` (3, 3) of face f.

    Returns:
        ``det = h_0 . (h_1 x h_2)``: six times the volume between the face and the eye, negative
        where a camera in the usual orientation sees the corners run counter-clockwise.
    """
    for k in range(3):
        p = faces[f, k]
        h[k, 0] = points[p, 0]
        h[k, 1] = points[p, 1]
        h[k, 2] = points[p, 2] if perspective else 1.0
    for k in range(3):
        a = (k + 1) % 3
        b = (k + 2) % 3
        edge[k, 0] = h[a, 1] * h[b, 2] - h[a, 2] * h[b, 1]
        edge[k, 1] = h[a, 2] * h[b, 0] - h[a, 0] * h[b, 2]
        edge[k, 2] = h[a, 0] * h[b, 1] - h[a, 1] * h[b, 0]
    return edge[0, 0] * h[0, 0] + edge[0, 1] * h[0, 1] + edge[0, 2] * h[0, 2]


@_compile
def draw_faces(points, faces, perspective, near, far, facing, face_index, depth):
    """Draw one view into ``face_index`` and ``depth`` (H, W), filled with -1 and inf.

    Edge functions in homogeneous coordinates (Olano and Greer, "Triangle Scan Conversion using 2D
    Homogeneous Coordinates", 1997): with corner k at ``h_k = w_k (u_k, v_k, 1)`` and
    ``det = h_0 . (h_1 x h_2)``, the value ``e_0 = (h_1 x h_2) . (u, v, 1) / det`` is the
    barycentric weight of corner 0 divided by w at the pixel. It holds for corners behind the camera
    too, so a face that crosses the near plane needs no cutting: pixels nearer than ``near`` are
    skipped one by one.

    Args:
        points: (P, 3) float64 ``(w u, w v, z)``, with w = z for perspective, 1 for orthographic
            cameras; z is depth, u and v are pixels.
        faces: (F, 3) integers; rows below 0 are padding.
        near, far: depths that are drawn.
        facing: faces with ``det * facing < 0`` are not drawn; 0 draws both sides.
    """
    height, width = face_index.shape
    h = np.empty((3, 3))
    edge = np.empty((3, 3))
    for f in range(faces.shape[0]):
        if faces[f, 0] < 0:
            continue
        z0 = points[faces[f, 0], 2]
        z1 = points[faces[f, 1], 2]
        z2 = points[faces[f, 2], 2]
        if max(z0, z1, z2) < near or min(z0, z1, z2) > far:
            continue
        det = corner_edges(points, faces, f, perspective, h, edge)
        if det == 0.0 or det * facing < 0.0:
            continue  # seen edge-on, without area, or seen from behind
        # the rectangle of pixels around the part of the face in front of the near plane
        u_min = np.inf
        u_max = -np.inf
        v_min = np.inf
        v_max = -np.inf
        for k in range(3):
            za = points[faces[f, k], 2]
            if za >= near:
                u = h[k, 0] / h[k, 2]
                v = h[k, 1] / h[k, 2]
                u_min = min(u_min, u)
                u_max = max(u_max, u)
                v_min = min(v_min, v)
                v_max = max(v_max, v)
            n = (k + 1) % 3
            zb = points[faces[f, n], 2]
            if (za >= near) != (zb >= near):
                s = (near - za) / (zb - za)
                w = h[k, 2] + s * (h[n, 2] - h[k, 2])
                u = (h[k, 0] + s * (h[n, 0] - h[k, 0])) / w
                v = (h[k, 1] + s * (h[n, 1] - h[k, 1])) / w
                u_min = min(u_min, u)
                u_max = max(u_max, u)
                v_min = min(v_min, v)
                v_max = max(v_max, v)
        if u_max < 0.0 or v_max < 0.0 or u_min > width or v_min > height:
            continue
        # one pixel of margin: rounding must not lose a pixel centre that lies on an edge
        j0 = max(0, int(np.floor(max(u_min, 0.0) - 0.5)) - 1)
        j1 = min(width - 1, int(np.ceil(min(u_max, width) - 0.5)) + 1)
        i0 = max(0, int(np.floor(max(v_min, 0.0) - 0.5)) - 1)
        i1 = min(height - 1, int(np.ceil(min(v_max, height) - 0.5)) + 1)
        sign = 1.0 if det > 0.0 else -1.0
        for i in range(i0, i1 + 1):
            v = i + 0.5
            for j in range(j0, j1 + 1):
                u = j + 0.5
                e0 = sign * (edge[0, 0] * u + edge[0, 1] * v + edge[0, 2])
                e1 = sign * (edge[1, 0] * u + edge[1, 1] * v + edge[1, 2])
                e2 = sign * (edge[2, 0] * u + edge[2, 1] * v + edge[2, 2])
                if e0 < 0.0 or e1 < 0.0 or e2 < 0.0:
                    continue
                total = e0 + e1 + e2
                if total <= 0.0:
                    continue
                z = e0 / total * z0 + e1 / total * z1 + e2 / total * z2
                # of two faces at the same depth the one with the smaller index stays
                if z < near or z > far or z >= depth[i, j]:
                    continue
                depth[i, j] = z
                face_index[i, j] = f


@_compile
def _barycentric(points, faces, perspective, face_index, bary):
    """Weights of the corners of the visible faces, into ``bary`` (H, W, 3), filled with 0."""
    height, width = face_index.shape
    h = np.empty((3, 3))
    edge = np.empty((3, 3))
    for i in range(height):
        for j in range(width):
            f = face_index[i, j]
            if f < 0:
                continue
            corner_edges(points, faces, f, perspective, h, edge)
            total = 0.0
            for k in range(3):
                bary[i, j, k] = edge[k, 0] * (j + 0.5) + edge[k, 1] * (i + 0.5) + edge[k, 2]
                total += bary[i, j, k]
            for k in range(3):
                bary[i, j, k] /= total


def check_mesh(vertices, faces) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) as float64 and faces (F, 3) as int64, if they form a mesh.

    Raises:
        ValueError: for wrong shapes, NaN or infinite vertices, or faces that name a vertex that
            does not exist.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    faces = np.asarray(faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3:
        raise ValueError(f'vertices must be (V, 3), got {vertices.shape}')
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in 'iu':
        raise ValueError(f'faces must be integers (F, 3), got {faces.dtype} {faces.shape}')
    bad = ~np.isfinite(vertices).all(1)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f'{int(bad.sum())} vertices are NaN or infinite, the first is number {first}: '
            f'{vertices[first].tolist()}'
        )
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError(
            f'faces name the vertices {int(faces.min())} to {int(faces.max())}, '
            f'but there are {len(vertices)} vertices'
        )
    return vertices, np.ascontiguousarray(faces, dtype=np.int64)


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (F, 3), counter-clockwise faces outwards, and areas (F,) of triangles.

    A face without area has the normal 0.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    length = np.linalg.norm(cross, axis=1)
    return cross / np.maximum(length, 1e-30)[:, None], 0.5 * length


def rasterize_mesh(vertices, faces, cameras: Cameras, near: float = 1e-3) -> Rasterization:
    """Find the front-most face, its depth and its barycentric weights at every pixel centre.

    Both sides of a face are drawn. A pixel centre exactly on an edge belongs to the face. Faces
    that cross the plane ``z = near`` are drawn up to it.

    Args:
        vertices: (P, 3) world frame, unit of the scene; array or nested list.
        faces: (F, 3) integer indices of the vertices.
        cameras: V cameras of one sample (batch 1).
        near: smallest z in the camera frame that is drawn, unit of the scene, positive.

    Returns:
        :class:`Rasterization` of V views, computed in float64.

    Raises:
        ValueError: for a mesh that is none (see :func:`check_mesh`), cameras of another batch size
            than 1, ``near <= 0`` or a camera that has the whole mesh behind it.
    """
    vertices, faces = check_mesh(vertices, faces)
    if len(cameras) != 1:
        raise ValueError(f'rasterize_mesh draws one mesh: cameras of batch 1, got {len(cameras)}')
    if not near > 0:
        raise ValueError(f'near must be positive, got {near}')
    height, width = cameras.image_size
    extrinsics = cameras.extrinsics[0].detach().cpu().numpy().astype(np.float64)
    intrinsics = cameras.intrinsics[0].detach().cpu().numpy().astype(np.float64)
    views = len(extrinsics)
    perspective = cameras.projection == 'perspective'
    face_index = np.full((views, height, width), -1, np.int32)
    depth = np.full((views, height, width), np.inf)
    bary = np.zeros((views, height, width, 3))
    for view in range(views):
        cam = vertices @ extrinsics[view, :3, :3].T + extrinsics[view, :3, 3]
        z = cam[:, 2]
        if len(cam) and z.max() < near:
            raise ValueError(
                f'view {view}: the whole mesh is behind the camera (largest depth '
                f'{z.max():.4g}, near {near:g})'
            )
        weight = z if perspective else np.ones_like(z)
        matrix = intrinsics[view]
        points = cam[:, :2] @ matrix[:2, :2].T + weight[:, None] * matrix[:2, 2]
        points = np.concatenate([points, z[:, None]], 1)
        draw_faces(points, faces, perspective, near, np.inf, 0.0, face_index[view], depth[view])
        _barycentric(points, faces, perspective, face_index[view], bary[view])
    depth[face_index < 0] = 0.0
    return Rasterization(face_index, depth.astype(np.float32), bary.astype(np.float32))
