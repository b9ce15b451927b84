"""Shaded pictures of triangle meshes: flat colours, Lambert light, no textures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mm3dpretrain.ops.rasterize import check_mesh, face_normals, rasterize_mesh
from mm3dpretrain.structures.cameras import Cameras

DEFAULT_COLOR = (178, 178, 184)


class MeshViews(NamedTuple):
    """V pictures of one mesh.

    Attributes:
        rgb: (V, H, W, 3) uint8, over the background; with ``background=None`` the colour of the
            covered share of the pixel alone (straight alpha), 0 where there is none.
        alpha: (V, H, W) uint8 coverage of the pixel, 0 to 255.
        depth: (V, H, W) float32 z in the camera frame at the pixel centre, 0 for background.
        mask: (V, H, W) bool, True where the pixel centre sees the mesh.
        face_index: (V, H, W) int32 front-most face at the pixel centre, -1 for background.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    mask: np.ndarray
    face_index: np.ndarray


def _colors(face_colors, num_faces: int) -> np.ndarray:
    """Face colours as (F, 3) float64 in [0, 255]."""
    if face_colors is None:
        face_colors = np.uint8(DEFAULT_COLOR)
    colors = np.asarray(face_colors)
    scale = 1.0 if colors.dtype.kind in 'iu' else 255.0
    if colors.ndim not in (1, 2) or colors.shape[-1] != 3:
        raise ValueError(f'face_colors must be (3,) or (F, 3), got {colors.shape}')
    if colors.ndim == 2 and len(colors) != num_faces:
        raise ValueError(f'{len(colors)} face_colors for {num_faces} faces')
    colors = np.broadcast_to(colors.astype(np.float64) * scale, (num_faces, 3))
    if num_faces and not (colors.min() >= 0 and colors.max() <= 255):
        raise ValueError(
            'face_colors must be integers in [0, 255] or floats in [0, 1], got values from '
            f'{colors.min() / scale:g} to {colors.max() / scale:g}'
        )
    return colors


def render_mesh(
    vertices,
    faces,
    cameras: Cameras,
    face_colors=None,
    background: tuple[int, int, int] | None = (255, 255, 255),
    supersample: int = 2,
    ambient: float = 0.5,
    headlight: float = 0.35,
    key_light: float = 0.35,
    light_direction: tuple[float, float, float] = (0.4, 1.0, 0.25),
    near: float = 1e-3,
) -> MeshViews:
    """Shade a mesh from every camera.

    Colour = face colour x (ambient + headlight |n . view| + key_light max(n . light, 0)), with the
    normal turned to the viewer, so both sides of a face are lit. Normals are those of the faces.

    Args:
        vertices: (P, 3) world frame.
        faces: (F, 3) integers.
        cameras: V cameras of one sample (batch 1).
        face_colors: (F, 3) or (3,), integers in [0, 255] or floats in [0, 1]; None is a light grey.
        background: RGB in [0, 255], or None for transparent pictures.
        supersample: each pixel's colour and alpha are the mean of this number squared samples.
        ambient: share of the light that comes from everywhere.
        headlight: share that comes from the camera.
        key_light: share that comes from ``light_direction``.
        light_direction: world vector to the lamp; the default suits +y up.
        near: smallest depth that is drawn.

    Returns:
        :class:`MeshViews`; depth, mask and face index are those of the pixel centres.

    Raises:
        ValueError: for a mesh or camera that :func:`rasterize_mesh` refuses, wrong colours, or
            ``supersample < 1``.
    """
    if supersample < 1 or int(supersample) != supersample:
        raise ValueError(f'supersample must be a positive integer, got {supersample}')
    vertices, faces = check_mesh(vertices, faces)
    colors = _colors(face_colors, len(faces))
    height, width = cameras.image_size
    centers = rasterize_mesh(vertices, faces, cameras, near)
    fine, fine_cameras = centers, cameras
    if supersample > 1:
        fine_cameras = cameras.rescale((height * supersample, width * supersample))
        fine = rasterize_mesh(vertices, faces, fine_cameras, near)

    normals, _ = face_normals(vertices, faces)
    lamp = np.asarray(light_direction, dtype=np.float64)
    lamp = lamp / np.linalg.norm(lamp)
    views = len(fine.face_index)
    rgb = np.empty((views, height, width, 3), np.uint8)
    alpha = np.empty((views, height, width), np.uint8)
    extrinsics = cameras.extrinsics[0].detach().cpu().numpy().astype(np.float64)
    eyes = cameras.centers[0].detach().cpu().numpy().astype(np.float64)
    for view in range(views):
        index = fine.face_index[view]
        seen = index >= 0
        hit = index[seen]
        corners = vertices[faces[hit]]
        position = (fine.bary[view][seen][..., None] * corners).sum(1)
        if cameras.projection == 'perspective':
            to_eye = eyes[view] - position
            to_eye = to_eye / np.maximum(np.linalg.norm(to_eye, axis=1, keepdims=True), 1e-12)
        else:
            to_eye = np.broadcast_to(-extrinsics[view, 2, :3], position.shape)
        normal = normals[hit]
        facing = (normal * to_eye).sum(1)
        normal = np.where(facing[:, None] < 0, -normal, normal)
        light = (ambient + headlight * np.abs(facing) + key_light * np.maximum(normal @ lamp, 0.0))[
            :, None
        ]
        image = np.zeros((*index.shape, 3))
        if background is not None:
            image[:] = background
        image[seen] = np.clip(colors[hit] * light, 0, 255)
        coverage = _pool(seen[..., None].astype(np.float64), supersample)
        mean = _pool(image, supersample)
        if background is None:
            mean = mean / np.maximum(coverage, 1e-9)
        rgb[view] = np.rint(mean)
        alpha[view] = np.rint(coverage[..., 0] * 255)
    return MeshViews(rgb, alpha, centers.depth, centers.face_index >= 0, centers.face_index)


def _pool(image: np.ndarray, factor: int) -> np.ndarray:
    """Mean over blocks of factor x factor pixels of (H f, W f, C)."""
    # sums of strided slices: several times faster than a mean over two short axes
    total = sum(image[i::factor, j::factor] for i in range(factor) for j in range(factor))
    return total / factor**2
