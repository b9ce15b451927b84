"""The colour of a mesh's surface: of faces, of vertices and of textures, multiplied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mm3dpretrain.ops.mesh_kernels import compile_loop

DEFAULT_COLOR = (178, 178, 184)
# repetitions of a texture; beyond it the place in it has no digits left
MAX_UV = 1e9


class SurfaceColors(NamedTuple):
    """What the kernels need to know about colours, in the types that they are compiled for.

    The colour at a point of face f is ``face[f]`` x the vertex colours between its corners x the
    texture at its UV, of those that there are.

    Attributes:
        face: (F, 3) float64 in [0, 255].
        vertex: (P, 3) float64 factors in [0, 1], or (0, 3) for none.
        uv: (P, 2) float64, origin at the lower left corner of the texture, or (0, 2) for none.
        face_texture: (F,) int64, -1 for none, or (0,) if no face has one.
        texels: (T, 3) uint8, the rows of all textures behind each other.
        table: (K, 3) int64 first texel, height and width of each texture.
    """

    face: np.ndarray
    vertex: np.ndarray
    uv: np.ndarray
    face_texture: np.ndarray
    texels: np.ndarray
    table: np.ndarray


def _rgb(colors, name: str, rows: int, what: str) -> np.ndarray:
    """(rows, 3) float64 in [0, 255] of integers in [0, 255] or floats in [0, 1]."""
    colors = np.asarray(colors)
    scale = 1.0 if colors.dtype.kind in 'iu' else 255.0
    if colors.ndim not in (1, 2) or colors.shape[-1] != 3:
        raise ValueError(f'{name} must be (3,) or ({what[0].upper()}, 3), got {colors.shape}')
    if colors.ndim == 2 and len(colors) != rows:
        raise ValueError(f'{len(colors)} {name} for {rows} {what}')
    colors = np.broadcast_to(colors.astype(np.float64) * scale, (rows, 3))
    if rows and not (colors.min() >= 0 and colors.max() <= 255):
        raise ValueError(
            f'{name} must be integers in [0, 255] or floats in [0, 1], got values from '
            f'{colors.min() / scale:g} to {colors.max() / scale:g}'
        )
    return np.ascontiguousarray(colors)


def surface_colors(
    num_vertices: int,
    num_faces: int,
    face_colors=None,
    vertex_colors=None,
    uv=None,
    textures: Sequence[np.ndarray] = (),
    face_texture=None,
) -> SurfaceColors:
    """Check the colours of a mesh and bring them into the form of :class:`SurfaceColors`.

    Args:
        num_vertices: P.
        num_faces: F.
        face_colors: (F, 3) or (3,), integers in [0, 255] or floats in [0, 1]; None is white where
            there are vertex colours or textures, and else a light grey.
        vertex_colors: (P, 3), integers in [0, 255] or floats in [0, 1], or None.
        uv: (P, 2) floats, (0, 0) is the lower left corner of a texture, or None. Beyond [0, 1]
            textures repeat.
        textures: K pictures (h, w, 3) uint8, the upper row first.
        face_texture: (F,) number of each face's texture, -1 for none; None gives all faces the
            first one.

    Raises:
        ValueError: for wrong shapes, values out of range, textures without UV.
    """
    plain = vertex_colors is None and not len(textures)
    base = (DEFAULT_COLOR if plain else (255, 255, 255)) if face_colors is None else face_colors
    face = _rgb(base, 'face_colors', num_faces, 'faces')
    vertex = np.zeros((0, 3))
    if vertex_colors is not None:
        vertex = _rgb(vertex_colors, 'vertex_colors', num_vertices, 'points') / 255.0
    if not len(textures):
        empty = np.zeros(0, np.int64)
        texels, table = np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.int64)
        return SurfaceColors(face, vertex, np.zeros((0, 2)), empty, texels, table)
    if uv is None:
        raise ValueError('textures need uv, the position of each vertex in its texture')
    uv = np.ascontiguousarray(uv, dtype=np.float64)
    if uv.shape != (num_vertices, 2) or not (np.abs(uv) < MAX_UV).all():
        raise ValueError(
            f'uv must be finite numbers ({num_vertices}, 2) below {MAX_UV:g}, got {uv.shape}'
        )
    for texture in textures:
        if texture.dtype != np.uint8 or texture.ndim != 3 or texture.shape[2] != 3:
            raise ValueError(
                f'textures must be (h, w, 3) uint8, got {texture.dtype} {texture.shape}'
            )
        if not texture.size:
            raise ValueError(f'a texture without pixels: {texture.shape}')
    if face_texture is None:
        face_texture = np.zeros(num_faces, np.int64)
    face_texture = np.ascontiguousarray(face_texture, dtype=np.int64)
    if face_texture.shape != (num_faces,):
        raise ValueError(f'face_texture must be ({num_faces},), got {face_texture.shape}')
    if num_faces and not (face_texture.min() >= -1 and face_texture.max() < len(textures)):
        raise ValueError(
            f'face_texture names {face_texture.min()} to {face_texture.max()}, but there are '
            f'{len(textures)} textures'
        )
    sizes = np.array([texture.shape[:2] for texture in textures], np.int64)
    first = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]])
    texels = np.concatenate([texture.reshape(-1, 3) for texture in textures])
    table = np.ascontiguousarray(np.column_stack([first, sizes]))
    return SurfaceColors(face, vertex, uv, face_texture, texels, table)


@compile_loop
def color_at(f, b0, b1, b2, faces, face, vertex, uv, face_texture, texels, table):
    """Colour in [0, 255] at the barycentric weights of face ``f``; see :class:`SurfaceColors`."""
    i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
    red, green, blue = face[f, 0], face[f, 1], face[f, 2]
    if len(vertex):
        red *= b0 * vertex[i, 0] + b1 * vertex[j, 0] + b2 * vertex[k, 0]
        green *= b0 * vertex[i, 1] + b1 * vertex[j, 1] + b2 * vertex[k, 1]
        blue *= b0 * vertex[i, 2] + b1 * vertex[j, 2] + b2 * vertex[k, 2]
    if len(face_texture) and face_texture[f] >= 0:
        first, height, width = table[face_texture[f]]
        x = (b0 * uv[i, 0] + b1 * uv[j, 0] + b2 * uv[k, 0]) * width - 0.5
        y = height - (b0 * uv[i, 1] + b1 * uv[j, 1] + b2 * uv[k, 1]) * height - 0.5
        left, top = np.floor(x), np.floor(y)
        x -= left
        y -= top
        # numpy's remainder has the sign of the divisor: textures repeat to all sides
        c0, r0 = int(left % width), int(top % height)
        c1, r1 = (c0 + 1) % width, (r0 + 1) % height
        p, q = first + r0 * width + c0, first + r0 * width + c1
        r, s = first + r1 * width + c0, first + r1 * width + c1
        wp, wq, wr, ws = (1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y
        red *= (wp * texels[p, 0] + wq * texels[q, 0] + wr * texels[r, 0] + ws * texels[s, 0]) / 255
        green *= (
            wp * texels[p, 1] + wq * texels[q, 1] + wr * texels[r, 1] + ws * texels[s, 1]
        ) / 255
        blue *= (
            wp * texels[p, 2] + wq * texels[q, 2] + wr * texels[r, 2] + ws * texels[s, 2]
        ) / 255
    return red, green, blue


@compile_loop
def _colors_at(face_index, bary, faces, face, vertex, uv, face_texture, texels, table, out):
    for n in range(len(face_index)):
        out[n] = color_at(
            face_index[n], bary[n, 0], bary[n, 1], bary[n, 2],
            faces, face, vertex, uv, face_texture, texels, table,
        )  # fmt: skip


def colors_at(
    faces: np.ndarray, colors: SurfaceColors, face_index: np.ndarray, bary: np.ndarray
) -> np.ndarray:
    """Colours of points on the surface.

    Args:
        faces: (F, 3) int64.
        colors: of the mesh.
        face_index: (N,) int64, the face of each point.
        bary: (N, 3) weights of the face's corners.

    Returns:
        (N, 3) uint8.
    """
    out = np.empty((len(face_index), 3))
    _colors_at(
        np.ascontiguousarray(face_index, np.int64),
        np.ascontiguousarray(bary, np.float64),
        np.ascontiguousarray(faces, np.int64),
        *colors,
        out,
    )
    return np.rint(np.clip(out, 0, 255)).astype(np.uint8)
