"""Shaded pictures of triangle meshes: colours of faces, vertices and textures, Lambert light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mm3dpretrain.datasets.mesh_colors import color_at, surface_colors
from mm3dpretrain.ops.mesh_kernels import compile_loop
from mm3dpretrain.ops.rasterize import check_mesh, face_normals, rasterize_mesh
from mm3dpretrain.structures.cameras import Cameras


class MeshViews(NamedTuple):
    """V pictures of one mesh.

    Attributes:
        rgb: (V, H, W, 3) uint8, over the background; with ``background=None`` the colour of the
            covered share of the pixel alone (straight alpha), 0 where there is none.
        alpha: (V, H, W) uint8 coverage of the pixel, 0 to 255.
        depth: (V, H, W) float32 z in the camera frame at the pixel centre, 0 for background.
        mask: (V, H, W) bool, True where the pixel centre sees the mesh.
        face_index: (V, H, W) int32 front-most face at the pixel centre, -1 for background.
        normals: (V, H, W, 3) float32 unit normal of that face in the world frame, on the side that
            the camera sees, 0 for background.
    """

    rgb: np.ndarray
    alpha: np.ndarray
    depth: np.ndarray
    mask: np.ndarray
    face_index: np.ndarray
    normals: np.ndarray


@compile_loop
def _toward(f, b0, b1, b2, vertices, faces, normals, eye, perspective):
    """Normal of a face on the side of the viewer, and its cosine with the way to the eye."""
    x, y, z = eye[0], eye[1], eye[2]
    if perspective:
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        x -= b0 * vertices[i, 0] + b1 * vertices[j, 0] + b2 * vertices[k, 0]
        y -= b0 * vertices[i, 1] + b1 * vertices[j, 1] + b2 * vertices[k, 1]
        z -= b0 * vertices[i, 2] + b1 * vertices[j, 2] + b2 * vertices[k, 2]
        length = max(np.sqrt(x * x + y * y + z * z), 1e-12)
        x /= length
        y /= length
        z /= length
    nx, ny, nz = normals[f, 0], normals[f, 1], normals[f, 2]
    facing = nx * x + ny * y + nz * z
    if facing < 0:
        return -nx, -ny, -nz, -facing
    return nx, ny, nz, facing


@compile_loop
def _shade(
    index, bary, vertices, faces, normals, eye, perspective, lights, lamp, paper, opaque, factor,
    face_color, vertex_color, uv, face_texture, texels, table, rgb, alpha,
):  # fmt: skip
    """Shade one view and take the mean over ``factor`` x ``factor`` samples of each pixel."""
    samples = factor * factor
    for i in range(rgb.shape[0]):
        for j in range(rgb.shape[1]):
            red, green, blue = 0.0, 0.0, 0.0
            covered = 0
            for k in range(samples):
                si, sj = i * factor + k // factor, j * factor + k % factor
                f = index[si, sj]
                if f < 0:
                    if opaque:
                        red += paper[0]
                        green += paper[1]
                        blue += paper[2]
                    continue
                covered += 1
                b0 = float(bary[si, sj, 0])
                b1 = float(bary[si, sj, 1])
                b2 = float(bary[si, sj, 2])
                nx, ny, nz, facing = _toward(
                    f, b0, b1, b2, vertices, faces, normals, eye, perspective
                )
                to_lamp = max(nx * lamp[0] + ny * lamp[1] + nz * lamp[2], 0.0)
                light = lights[0] + lights[1] * facing + lights[2] * to_lamp
                r, g, b = color_at(
                    f, b0, b1, b2, faces,
                    face_color, vertex_color, uv, face_texture, texels, table,
                )  # fmt: skip
                red += min(max(r * light, 0.0), 255.0)
                green += min(max(g * light, 0.0), 255.0)
                blue += min(max(b * light, 0.0), 255.0)
            share = samples if opaque else max(covered, 1)
            rgb[i, j, 0] = np.uint8(np.rint(red / share))
            rgb[i, j, 1] = np.uint8(np.rint(green / share))
            rgb[i, j, 2] = np.uint8(np.rint(blue / share))
            alpha[i, j] = np.uint8(np.rint(255.0 * covered / samples))


@compile_loop
def _view_normals(index, bary, vertices, faces, normals, eye, perspective, out):
    for i in range(index.shape[0]):
        for j in range(index.shape[1]):
            f = index[i, j]
            if f >= 0:
                nx, ny, nz, _ = _toward(
                    f, float(bary[i, j, 0]), float(bary[i, j, 1]), float(bary[i, j, 2]),
                    vertices, faces, normals, eye, perspective,
                )  # fmt: skip
                out[i, j, 0] = nx
                out[i, j, 1] = ny
                out[i, j, 2] = nz


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
    vertex_colors=None,
    uv=None,
    textures: Sequence[np.ndarray] = (),
    face_texture=None,
) -> MeshViews:
    """Shade a mesh from every camera.

    Colour = surface colour x (ambient + headlight |n . view| + key_light max(n . light, 0)), with
    the normal turned to the viewer, so both sides of a face are lit. Normals are those of the
    faces; the surface colour is the product of face colour, vertex colours (interpolated) and
    texture (bilinear, repeated), of those that there are.

    Args:
        vertices: (P, 3) world frame.
        faces: (F, 3) integers.
        cameras: V cameras of one sample (batch 1).
        face_colors: (F, 3) or (3,), integers in [0, 255] or floats in [0, 1]; None is white where
            there are vertex colours or textures, and else a light grey.
        background: RGB in [0, 255], or None for transparent pictures.
        supersample: each pixel's colour and alpha are the mean of this number squared samples.
        ambient: share of the light that comes from everywhere.
        headlight: share that comes from the camera.
        key_light: share that comes from ``light_direction``.
        light_direction: world vector to the lamp; the default suits +y up.
        near: smallest depth that is drawn.
        vertex_colors, uv, textures, face_texture: see
            :func:`~mm3dpretrain.datasets.mesh_colors.surface_colors`.

    Returns:
        :class:`MeshViews`; depth, mask, normals and face index are those of the pixel centres.

    Raises:
        ValueError: for a mesh or camera that :func:`rasterize_mesh` refuses, wrong colours, or
            ``supersample < 1``.
    """
    if supersample < 1 or int(supersample) != supersample:
        raise ValueError(f'supersample must be a positive integer, got {supersample}')
    vertices, faces = check_mesh(vertices, faces)
    vertices = np.ascontiguousarray(vertices)
    colors = surface_colors(
        len(vertices), len(faces), face_colors, vertex_colors, uv, textures, face_texture
    )
    height, width = cameras.image_size
    fine_cameras = cameras.rescale((height * supersample, width * supersample))
    normals, _ = face_normals(vertices, faces)
    lamp = np.asarray(light_direction, dtype=np.float64)
    lamp = lamp / np.linalg.norm(lamp)
    lights = np.array([ambient, headlight, key_light], np.float64)
    opaque = background is not None
    paper = np.array(background if opaque else (0, 0, 0), np.float64)
    perspective = cameras.projection == 'perspective'
    extrinsics = cameras.extrinsics[0].detach().cpu().numpy().astype(np.float64)
    # where the viewer is, or for parallel rays the direction to it
    eyes = cameras.centers[0].detach().cpu().numpy().astype(np.float64)
    eyes = np.ascontiguousarray(eyes if perspective else -extrinsics[:, 2, :3])

    views = cameras.num_views
    out = MeshViews(
        np.empty((views, height, width, 3), np.uint8),
        np.empty((views, height, width), np.uint8),
        np.empty((views, height, width), np.float32),
        np.empty((views, height, width), bool),
        np.empty((views, height, width), np.int32),
        np.zeros((views, height, width, 3), np.float32),
    )
    # view by view: the buffers of all views at several samples a pixel may not fit into memory
    for view in range(views):
        try:
            centers = rasterize_mesh(vertices, faces, cameras.select_views(view), near)
            fine = centers
            if supersample > 1:
                fine = rasterize_mesh(vertices, faces, fine_cameras.select_views(view), near)
        except ValueError as error:
            # the rasteriser has been given this view alone and calls it number 0
            raise ValueError(str(error).replace('view 0:', f'view {view}:')) from error
        geometry = (vertices, faces, normals, eyes[view], perspective)
        _shade(
            fine.face_index[0], fine.bary[0], *geometry,
            lights, lamp, paper, opaque, int(supersample), *colors, out.rgb[view], out.alpha[view],
        )  # fmt: skip
        _view_normals(centers.face_index[0], centers.bary[0], *geometry, out.normals[view])
        out.depth[view] = centers.depth[0]
        out.face_index[view] = centers.face_index[0]
    np.greater_equal(out.face_index, 0, out=out.mask)
    return out
