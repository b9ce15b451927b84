"""Colour and depth of a frame on one grid, where two cameras with one centre took them."""

from __future__ import annotations

import cv2
import numpy as np

from .frame_files import read_checked_depth
from .io import read_image


def read_view(
    frame: dict, depth_range: tuple[float, float], grid: str = 'depth'
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour, depth and intrinsics of a frame.

    Args:
        frame: see :class:`~mm3dpretrain.datasets.rgbd_frames.RGBDFrames`.
        depth_range: see :func:`~mm3dpretrain.datasets.frame_files.read_frame_depth`.
        grid: 'depth' or 'color', whose pixels are kept where the cameras differ.

    Returns:
        (H, W, 3) uint8, (H, W) float32 along z with 0 where nothing was measured, (3, 3) float64.

    Raises:
        SampleError: for broken files or depth in another unit.
    """
    depth = read_checked_depth(frame, depth_range)
    image = read_image(frame['img_path'])
    camera, other = frame['cam2img'], frame.get('depth_cam2img')
    if other is None:
        return image, depth, camera
    if grid == 'depth':
        return color_on_depth_grid(image, camera, other, depth.shape), depth, other
    return image, depth_on_color_grid(depth, other, camera, image.shape[:2]), camera


def color_on_depth_grid(
    image: np.ndarray, camera: np.ndarray, target: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """A colour picture as a camera with other intrinsics and the same centre would take it.

    Args:
        image: (H, W, 3) uint8.
        camera: (3, 3) its intrinsics.
        target: (3, 3) those wanted.
        size: (H, W) wanted.

    Returns:
        (H', W', 3) uint8, black where the picture has nothing.
    """
    shrink = [min(1.0, target[k, k] / camera[k, k]) for k in (1, 0)]
    small = [max(1, round(side * factor)) for side, factor in zip(image.shape, shrink)]
    scale = np.diag([small[1] / image.shape[1], small[0] / image.shape[0], 1.0])
    if tuple(small) != image.shape[:2]:
        # averaged first: sampling a larger picture would alias
        image = cv2.resize(image, small[::-1], None, 0, 0, cv2.INTER_AREA)
    # OpenCV counts from the centre of the first pixel
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    matrix = np.linalg.inv(half) @ scale @ camera @ np.linalg.inv(target) @ half
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix[:2], size[::-1], flags=flags)


def depth_on_color_grid(
    depth: np.ndarray, camera: np.ndarray, target: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Depth at the pixels of a camera with other intrinsics and the same centre.

    Args:
        depth: (H, W).
        camera: (3, 3) its intrinsics, without skew.
        target: (3, 3) those wanted, without skew.
        size: (H, W) wanted.

    Returns:
        (H', W') float32: the value of the nearest pixel, 0 outside. Nothing is interpolated.
    """
    index, inside = [], []
    for axis, count, extent in ((1, size[0], depth.shape[0]), (0, size[1], depth.shape[1])):
        ray = (np.arange(count) + 0.5 - target[axis, 2]) / target[axis, axis]
        place = np.floor(ray * camera[axis, axis] + camera[axis, 2]).astype(np.int64)
        inside.append((place >= 0) & (place < extent))
        index.append(np.clip(place, 0, extent - 1))
    found = depth[index[0][:, None], index[1]]
    return np.where(inside[0][:, None] & inside[1], found, np.float32(0))
