"""Depth maps: read from files, projected from LiDAR sweeps, resized. In metres, 0 for unknown."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .io import SampleError, read_npy
from .projection import nearest_depth, project_points

# larger than any depth; erosion wants a number where a map is empty
_FAR = np.float32(1e9)


def read_depth(path: str | os.PathLike, scale: float) -> np.ndarray:
    """Read a depth map.

    Args:
        path: PNG of 16 bits (KITTI, NYU Depth v2), or ``.npy`` of floating point numbers in
            metres.
        scale: value of the PNG that means one metre: 256 for KITTI, 1000 for millimetres.

    Returns:
        (H, W) float32, metres along z, 0 where nothing was measured.

    Raises:
        SampleError: naming the file, if it is missing, broken or no depth map, if a value is
            negative, NaN or infinite, or if no pixel has a depth.
    """
    path = os.fspath(path)
    if not Path(path).is_file():
        raise SampleError(f'{path}: the depth map does not exist')
    if path.endswith('.npy'):
        depth = read_npy(path)
        if depth.ndim != 2 or depth.dtype.kind != 'f':
            raise SampleError(
                f'{path}: a depth map must be (H, W) of floats, got {depth.shape} {depth.dtype}'
            )
        depth = depth.astype(np.float32)
    else:
        import cv2

        stored = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        if stored is None:
            raise SampleError(f'{path}: cannot decode the depth map: truncated, or no picture')
        if stored.dtype != np.uint16 or stored.ndim != 2:
            raise SampleError(
                f'{path}: a depth map must have one channel of 16 bits, got {stored.shape} '
                f'{stored.dtype}'
            )
        depth = stored.astype(np.float32) / np.float32(scale)
    broken = ~np.isfinite(depth) | (depth < 0)
    if broken.any():
        row, column = np.argwhere(broken)[0].tolist()
        raise SampleError(
            f'{path}: {int(broken.sum())} pixels are negative, NaN or infinite, the first one is '
            f'({row}, {column}): {depth[row, column]}'
        )
    if not (depth > 0).any():
        raise SampleError(f'{path}: an empty depth map, no pixel has a depth')
    return depth


def project_depth(
    points: np.ndarray, lidar2img: np.ndarray, shape: tuple[int, int], min_depth: float = 0.5
) -> np.ndarray:
    """z-buffer of a cloud.

    Args:
        points: (N, >= 3), x, y, z in the frame that ``lidar2img`` starts from.
        lidar2img: (4, 4), see :func:`~mm3dpretrain.datasets.projection.project_points`.
        shape: (H, W).
        min_depth: nearer points, and those behind the camera, are left out; metres.

    Returns:
        (H, W) float32, depth of the nearest point in every pixel, 0 where there is none.
    """
    uv, z, inside = (array[0] for array in project_points(points, lidar2img[None], [shape]))
    inside &= z >= min_depth
    return nearest_depth(uv[inside], z[inside], shape)


def drop_occluded(
    depth: np.ndarray, window: tuple[int, int] = (7, 3), tolerance: float = 0.1
) -> np.ndarray:
    """Remove the pixels of a sparse z-buffer that the camera cannot see.

    The LiDAR stands higher than the camera and looks over cars and walls at what is hidden to it.
    Such points fall between those of the nearer surface. A pixel is removed if, in a window around
    it, there are clearly nearer ones both above and below (its own row counts for both): the ground
    and what is seen over the upper rim of an object, with nearer ones only below, stay. To the left
    and right of an object, ``window[1]`` columns of what is behind it are lost.

    Args:
        depth: (H, W) float32, 0 where unknown.
        window: rows looked at above and below (at least the distance of two LiDAR beams, 5 to 6
            at KITTI's resolution), and columns to the left and right.
        tolerance: nearer means less than ``(1 - tolerance)`` of the depth.

    Returns:
        A new map.
    """
    import cv2

    rows, columns = window
    filled = np.where(depth > 0, depth, _FAR)
    kernel = np.ones((rows + 1, 2 * columns + 1), np.uint8)
    above = cv2.erode(filled, kernel, anchor=(columns, rows), borderValue=float(_FAR))
    below = cv2.erode(filled, kernel, anchor=(columns, 0), borderValue=float(_FAR))
    hidden = np.maximum(above, below) < (1 - tolerance) * depth
    return np.where(hidden, np.float32(0), depth)


def resize_depth(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a depth map without inventing depths.

    Every known pixel goes to where its centre falls; the nearest one wins. Between them nothing is
    interpolated, so a map that grows gets gaps.

    Args:
        depth: (H, W) float32, 0 where unknown.
        size: (H', W').

    Returns:
        (H', W') float32.
    """
    row, column = np.nonzero(depth)
    centre = np.stack([column + 0.5, row + 0.5], axis=1)
    uv = centre * (size[1], size[0]) / (depth.shape[1], depth.shape[0])
    return nearest_depth(uv, depth[row, column], size)
