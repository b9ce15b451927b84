"""Z-buffer rasteriser for triangle meshes on the CPU, not differentiable.

:func:`rasterize_mesh` is for data preparation; its inner loop also serves ``MeshRenderer``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mm3dpretrain.structures.cameras import Cameras

from .mesh_kernels import barycentric, draw_faces


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
        barycentric(points, faces, perspective, face_index[view], bary[view])
    depth[face_index < 0] = 0.0
    return Rasterization(face_index, depth.astype(np.float32), bary.astype(np.float32))
