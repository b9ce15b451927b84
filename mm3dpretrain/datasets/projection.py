"""Points in pictures: where they fall, and which of them is the nearest one in a pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def project_points(
    points: np.ndarray, lidar2img: np.ndarray, img_shape: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where points fall in the pictures of a frame.

    Args:
        points: (N, >= 3).
        lidar2img: (V, 4, 4): the third row gives the depth z, the first two (u z, v z); pixel
            (i, j) is j <= u < j + 1, i <= v < i + 1.
        img_shape: (h, w) of every picture.

    Returns:
        ``uv`` (V, N, 2) in pixels and ``z`` (V, N) in metres along the view, float64, and bool
        (V, N): in front of the camera and inside of the picture, ``0 <= u < w``. Of points behind
        the camera ``uv`` has no meaning.
    """
    xyz = points[:, :3].astype(np.float64)
    image = np.einsum('vij,nj->vni', lidar2img[:, :3, :3], xyz) + lidar2img[:, None, :3, 3]
    z = image[..., 2]
    uv = image[..., :2] / np.where(z > 1e-6, z, 1.0)[..., None]
    height, width = np.asarray(img_shape, np.float64).T[..., None]
    inside = (z > 1e-6) & (uv >= 0).all(-1) & (uv[..., 0] < width) & (uv[..., 1] < height)
    return uv, z, inside


def nearest_depth(uv: np.ndarray, z: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """z-buffer of points that all lie in the picture.

    Args:
        uv: (n, 2), 0 <= u < W and 0 <= v < H, in pixels (or in cells) of the map.
        z: (n,) depths, positive.
        shape: (H, W).

    Returns:
        (H, W) float32, the smallest depth in every pixel, 0 where there is no point.
    """
    column, row = uv.astype(np.int64).T
    depth = np.full(shape, np.inf, np.float32)
    np.minimum.at(depth.reshape(-1), row * shape[1] + column, z.astype(np.float32))
    depth[np.isinf(depth)] = 0
    return depth
