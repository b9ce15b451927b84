"""Pictures of scenes: textures from the position on the surface, sun, shadow, haze and sky."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mm3dpretrain.datasets.synthetic.scene_mesh import SceneMesh
from mm3dpretrain.ops.mesh_kernels import compile_loop
from mm3dpretrain.ops.rasterize import face_normals, rasterize_mesh
from mm3dpretrain.structures.cameras import Cameras, look_at


class Lighting(NamedTuple):
    """Light of a scene.

    Attributes:
        ambient: share of light that comes from everywhere.
        sun: share that comes from ``direction``.
        direction: world vector to the sun, any length.
        lamp: share that comes from a lamp at ``lamp_position``.
        lamp_position: (x, y, z) in metres.
        shadow_size: side of the shadow map in pixels; 0 for no shadows.
        shadow_range: side of the square around the origin that the shadow map covers, metres.
        haze: distance in metres at which 63 % of the colour is the sky's; inf for clear air.
        sky: RGB at the horizon.
        zenith: RGB straight above.
    """

    ambient: float = 0.5
    sun: float = 0.5
    direction: tuple[float, float, float] = (0.4, 0.3, 1.0)
    lamp: float = 0.0
    lamp_position: tuple[float, float, float] = (0.0, 0.0, 2.4)
    shadow_size: int = 0
    shadow_range: float = 100.0
    haze: float = np.inf
    sky: tuple[float, float, float] = (205.0, 214.0, 222.0)
    zenith: tuple[float, float, float] = (120.0, 160.0, 210.0)


class SceneViews(NamedTuple):
    """V pictures of a scene.

    Attributes:
        rgb: (V, H, W, 3) uint8.
        depth: (V, H, W) float32 z in the camera frame at the pixel centre, metres, 0 for sky.
        face: (V, H, W) int32 front-most face at the pixel centre, -1 for sky.
        cosine: (V, H, W) float32 |cos| of the angle between the ray and the face's normal.
    """

    rgb: np.ndarray
    depth: np.ndarray
    face: np.ndarray
    cosine: np.ndarray


@compile_loop
def _hash(x, y, z):
    """A fixed pseudo-random number in [0, 1) of three integers."""
    h = (x * 374761393 + y * 668265263 + z * 2147483647) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFFFF) / 16777216.0


@compile_loop
def _noise(x, y, z):
    """Value noise in [0, 1): random numbers on the grid of integers, blended between."""
    xi, yi, zi = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - xi, y - yi, z - zi
    fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
    total = 0.0
    for i in range(2):
        for j in range(2):
            for k in range(2):
                weight = (fx if i else 1 - fx) * (fy if j else 1 - fy) * (fz if k else 1 - fz)
                total += weight * _hash(xi + i, yi + j, zi + k)
    return total


@compile_loop
def _texture(kind, x, y, z, nx, ny, nz):
    """Factor on the colour at a position; kinds are the positions in TEXTURES."""
    # coordinates along a wall: horizontally and up; on the ground x and y
    if abs(nz) > 0.7:
        a, b = x, y
    elif abs(nx) > abs(ny):
        a, b = y, z
    else:
        a, b = x, z
    if kind == 1:  # grain
        return 0.96 + 0.08 * _noise(40 * x, 40 * y, 40 * z)
    if kind == 2:  # asphalt
        return 0.74 + 0.26 * _noise(17 * x, 17 * y, 17 * z) + 0.26 * _noise(0.7 * x, 0.7 * y, 3.1)
    if kind == 3:  # grass, leaves
        return 0.5 + 0.6 * _noise(6 * x, 6 * y, 6 * z) + 0.4 * _noise(1.3 * x, 1.3 * y, 1.3 * z)
    if kind == 4:  # wood: planks along the first direction
        plank = np.floor(b / 0.14)
        shift = _hash(int(plank), 7, 1)
        tone = 0.82 + 0.3 * _hash(int(plank), int(np.floor(a / 1.4 + shift)), 3)
        return tone * (0.9 + 0.2 * _noise(3 * a, 30 * b, 0.5))
    if kind == 5:  # brick
        row = np.floor(b / 0.16)
        along = a / 0.42 + 0.5 * (int(row) & 1)
        if b / 0.16 - row < 0.14 or along - np.floor(along) < 0.06:
            return 1.18
        return 0.8 + 0.32 * _hash(int(row), int(np.floor(along)), 5)
    if kind == 6:  # tiles
        i, j = np.floor(a / 0.3), np.floor(b / 0.3)
        if a / 0.3 - i < 0.03 or b / 0.3 - j < 0.03:
            return 0.72
        return 0.92 + 0.14 * _hash(int(i), int(j), 2)
    if kind == 7:  # a front with rows of windows
        i, j = np.floor(a / 2.4), np.floor((b + 0.6) / 3.0)
        u, v = a / 2.4 - i, (b + 0.6) / 3.0 - j
        if abs(nz) < 0.7 and 0.26 < u < 0.74 and 0.38 < v < 0.84:
            if abs(u - 0.5) < 0.02:
                return 1.1
            return 0.3 + 0.25 * _hash(int(i), int(j), 9)
        return 0.92 + 0.12 * _noise(4 * x, 4 * y, 4 * z)
    if kind == 8:  # fabric
        return 0.86 + 0.14 * _noise(60 * x, 60 * y, 60 * z) + 0.1 * _noise(3 * x, 3 * y, 3 * z)
    return 1.0


@compile_loop
def _shade(
    face,
    bary,
    faces,
    vertices,
    normals,
    color,
    texture,
    pose,
    light,
    shadow,
    to_shadow,
    rgb,
    cosine,
):
    """Shade one view; ``light`` is the Lighting as 17 numbers, ``pose`` rays and the eye."""
    height, width = face.shape
    ambient, sun, lamp, haze, bias = light[0], light[1], light[2], light[3], light[4]
    for i in range(height):
        for j in range(width):
            # ray through the pixel centre, not of unit length
            dx = pose[0, 0] * (j + 0.5) + pose[0, 1] * (i + 0.5) + pose[0, 2]
            dy = pose[1, 0] * (j + 0.5) + pose[1, 1] * (i + 0.5) + pose[1, 2]
            dz = pose[2, 0] * (j + 0.5) + pose[2, 1] * (i + 0.5) + pose[2, 2]
            length = np.sqrt(dx * dx + dy * dy + dz * dz)
            f = face[i, j]
            if f < 0:
                up = min(1.0, max(0.0, 2.5 * dz / length))
                cloud = 0.0
                if dz > 0.02 * length:
                    cx, cy = 2.0 * dx / dz, 2.0 * dy / dz
                    cloud = _noise(cx, cy, 0.3) + 0.5 * _noise(2 * cx, 2 * cy, 4.7) - 0.75
                    cloud = max(0.0, min(1.0, 1.6 * cloud)) * min(1.0, 12 * dz / length)
                for c in range(3):
                    tone = (1 - up) * light[8 + c] + up * light[11 + c]
                    rgb[i, j, c] = tone + cloud * (245.0 - tone)
                continue
            x = y = z = 0.0
            for k in range(3):
                w = bary[i, j, k]
                x += w * vertices[faces[f, k], 0]
                y += w * vertices[faces[f, k], 1]
                z += w * vertices[faces[f, k], 2]
            nx, ny, nz = normals[f, 0], normals[f, 1], normals[f, 2]
            facing = (nx * dx + ny * dy + nz * dz) / length
            if facing > 0:
                nx, ny, nz = -nx, -ny, -nz
            cosine[i, j] = abs(facing)
            # a sky above is brighter than the ground below
            total = ambient * (0.85 + 0.15 * nz)
            toward = nx * light[5] + ny * light[6] + nz * light[7]
            if sun > 0 and toward > 0:
                lit = 1.0
                if shadow.shape[0] > 1:
                    u = to_shadow[0, 0] * x + to_shadow[0, 1] * y + to_shadow[0, 2] * z
                    v = to_shadow[1, 0] * x + to_shadow[1, 1] * y + to_shadow[1, 2] * z
                    d = to_shadow[2, 0] * x + to_shadow[2, 1] * y + to_shadow[2, 2] * z
                    u += to_shadow[0, 3]
                    v += to_shadow[1, 3]
                    d += to_shadow[2, 3]
                    # mean of four texels: soft edges
                    lit = 0.0
                    for s in range(4):
                        su = int(np.floor(u + 0.5 * (s % 2) - 0.25))
                        sv = int(np.floor(v + 0.5 * (s // 2) - 0.25))
                        inside = 0 <= su < shadow.shape[1] and 0 <= sv < shadow.shape[0]
                        depth = shadow[sv, su] if inside else 0.0
                        if depth == 0.0 or d < depth + bias:
                            lit += 0.25
                total += sun * toward * lit
            if lamp > 0:
                lx, ly, lz = light[14] - x, light[15] - y, light[16] - z
                far = np.sqrt(lx * lx + ly * ly + lz * lz)
                total += (
                    lamp * max(0.0, nx * lx + ny * ly + nz * lz) / far / (0.6 + 0.16 * far * far)
                )
            total *= _texture(texture[f], x, y, z, nx, ny, nz)
            thick = 1.0 - np.exp(-_distance(pose, x, y, z) / haze)
            for c in range(3):
                tone = min(255.0, color[f, c] * total)
                rgb[i, j, c] = tone + thick * (light[8 + c] - tone)


@compile_loop
def _distance(pose, x, y, z):
    return np.sqrt((x - pose[0, 3]) ** 2 + (y - pose[1, 3]) ** 2 + (z - pose[2, 3]) ** 2)


def _shadow_map(scene: SceneMesh, lighting: Lighting) -> tuple[np.ndarray, np.ndarray]:
    """Depth seen from the sun (S, S) float32 and the (3, 4) matrix to its pixels and depth."""
    if not lighting.shadow_size:
        return np.zeros((1, 1), np.float32), np.zeros((3, 4))
    toward = np.asarray(lighting.direction, np.float64)
    toward = toward / np.linalg.norm(toward)
    size, reach = lighting.shadow_size, lighting.shadow_range
    extrinsics = look_at(torch.from_numpy(toward * reach)[None])[None]
    scale = size / reach
    intrinsics = torch.tensor([[scale, 0, size / 2], [0, scale, size / 2], [0, 0, 1]])
    cameras = Cameras(extrinsics, intrinsics.double()[None, None], (size, size), 'orthographic')
    depth = rasterize_mesh(scene.vertices, scene.faces, cameras).depth[0]
    matrix = np.diag([scale, scale, 1.0]) @ extrinsics[0, 0, :3].numpy()
    matrix[:2, 3] += size / 2
    return depth, matrix


def render_scene(
    scene: SceneMesh, cameras: Cameras, lighting: Lighting, supersample: int = 2
) -> SceneViews:
    """Textured, shaded pictures of a scene, with the depth and the face of every pixel centre.

    Args:
        scene: the mesh.
        cameras: V perspective cameras of one sample (batch 1).
        lighting: its light.
        supersample: each colour is the mean of this number squared samples.

    Returns:
        :class:`SceneViews`.

    Raises:
        ValueError: for cameras that :func:`rasterize_mesh` refuses, or ``supersample < 1``.
    """
    if supersample < 1 or int(supersample) != supersample:
        raise ValueError(f'supersample must be a positive integer, got {supersample}')
    height, width = cameras.image_size
    normals, _ = face_normals(scene.vertices, scene.faces)
    shadow, to_shadow = _shadow_map(scene, lighting)
    bias = 2.5 * lighting.shadow_range / max(lighting.shadow_size, 1)
    sun = np.asarray(lighting.direction, np.float64)
    light = np.concatenate(
        [
            [lighting.ambient, lighting.sun, lighting.lamp, lighting.haze, bias],
            sun / np.linalg.norm(sun),
            lighting.sky,
            lighting.zenith,
            lighting.lamp_position,
        ]
    ).astype(np.float64)
    views = cameras.num_views
    rgb = np.empty((views, height, width, 3), np.uint8)
    depth = np.empty((views, height, width), np.float32)
    face = np.empty((views, height, width), np.int32)
    cosine = np.empty((views, height, width), np.float32)
    for view in range(views):
        single = cameras.select_views(view)
        centers = rasterize_mesh(scene.vertices, scene.faces, single)
        depth[view], face[view] = centers.depth[0], centers.face_index[0]
        for raster, factor in ((centers, 1), (None, supersample)):
            if raster is None and factor == 1:
                break
            fine = single.rescale((height * factor, width * factor))
            raster = raster or rasterize_mesh(scene.vertices, scene.faces, fine)
            image = np.empty((height * factor, width * factor, 3), np.float32)
            facing = np.zeros((height * factor, width * factor), np.float32)
            _shade(
                raster.face_index[0],
                raster.bary[0],
                scene.faces,
                scene.vertices,
                normals,
                scene.color,
                scene.texture,
                _pose(fine),
                light,
                shadow,
                to_shadow,
                image,
                facing,
            )
            if factor == 1:
                cosine[view] = facing
        mean = sum(image[i::factor, j::factor] for i in range(factor) for j in range(factor))
        rgb[view] = np.rint(mean / factor**2)
    return SceneViews(rgb, depth, face, cosine)


def _pose(camera: Cameras) -> np.ndarray:
    """(3, 4): the matrix from (u, v, 1) to a world direction, and the camera centre."""
    rotation = camera.extrinsics[0, 0, :3, :3].double().numpy()
    rays = rotation.T @ np.linalg.inv(camera.intrinsics[0, 0].double().numpy())
    center = -rotation.T @ camera.extrinsics[0, 0, :3, 3].double().numpy()
    return np.ascontiguousarray(np.column_stack([rays, center]))
