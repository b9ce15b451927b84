"""The coloured cloud of a scan: read from a file, or fused from frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .frame_grids import read_view
from .frame_matching import View, grid_points
from .io import SampleError, atomic_path, check_cloud, read_npy
from .mesh_io import MESH_SUFFIXES, read_cloud

CHANNELS = ('x', 'y', 'z', 'r', 'g', 'b')
GREY = 0.5  # of clouds without colours


def read_scene_cloud(
    path: str | os.PathLike, num_points: int = 100_000, cache_dir: str | None = None
) -> np.ndarray:
    """Read a cloud of a scan.

    Args:
        path: ``.bin`` float32 (N, 6) and ``.npy`` (N, >= 3): x, y, z and R, G, B in [0, 255], as
            mmdet3d's ScanNet files; ``.npz`` with ``xyz`` and ``rgb`` of ``render_views.py``; a
            mesh.
        num_points: drawn from a mesh.
        cache_dir: where those are kept, see :func:`~mm3dpretrain.datasets.mesh_io.read_cloud`.

    Returns:
        (N, 6) float32 x, y, z, r, g, b; colours in [0, 1], grey where there are none.

    Raises:
        SampleError: for a missing or broken file.
    """
    path = os.fspath(path)
    suffix = Path(path).suffix.lower()
    colors = None
    if suffix == '.bin':
        try:
            values = np.fromfile(path, np.float32)
        except OSError as error:
            raise SampleError(f'{path}: cannot read the cloud ({error})') from error
        if values.size % 6:
            raise SampleError(f'{path}: {values.size} numbers are no rows of 6: truncated?')
        points = values.reshape(-1, 6)
    elif suffix in MESH_SUFFIXES:
        cloud = read_cloud(path, num_points, cache_dir=cache_dir)
        points, colors = cloud['points'], cloud.get('rgb')
    elif suffix == '.npz':
        points, colors = read_npy(path, 'xyz'), read_npy(path, 'rgb')
    else:
        points = read_npy(path)
    points = check_cloud(points, path)
    if colors is None and points.shape[1] >= 6:
        colors = points[:, 3:6]
    if colors is None:
        colors = np.full((len(points), 3), 255 * GREY, np.float32)
    if len(colors) != len(points) or colors.min() < 0 or colors.max() > 255:
        raise SampleError(f'{path}: colours must be (N, 3) in [0, 255], one for each point')
    return np.concatenate([points[:, :3], colors.astype(np.float32) / 255], 1)


def fuse_views(
    img: np.ndarray, views: Sequence[View], voxel_size: float = 0.0, stride: int = 1
) -> np.ndarray:
    """The points that the pixels of several views show.

    Args:
        img: (V, H, W, 3) uint8 of the same grid as the depth.
        views: V of them.
        voxel_size: keep one point in every cube of this side, the first one (in the order of views,
            rows, columns); 0 keeps all.
        stride: take every so-manieth row and column.

    Returns:
        (N, 6) float32 x, y, z, r, g, b, colours in [0, 1].
    """
    start = stride // 2
    grid = slice(start, None, stride)
    xyz = np.concatenate([grid_points(view, stride) for view in views])
    rgb = np.concatenate([i[grid, grid][v.depth[grid, grid] > 0] for i, v in zip(img, views)])
    cloud = np.concatenate([xyz, rgb / 255.0], 1).astype(np.float32)
    return thin_out(cloud, voxel_size)


def thin_out(cloud: np.ndarray, voxel_size: float) -> np.ndarray:
    """The first point (N, C) of every cube of side ``voxel_size``; all for 0."""
    if voxel_size <= 0 or not len(cloud):
        return cloud
    cell = np.floor((cloud[:, :3] - cloud[:, :3].min(0)) / voxel_size).astype(np.int64)
    size = cell.max(0) + 1
    flat = (cell[:, 0] * size[1] + cell[:, 1]) * size[2] + cell[:, 2]
    return cloud[np.sort(np.unique(flat, return_index=True)[1])]


def fuse_scan(
    path: str | os.PathLike,
    frames: Sequence[dict],
    depth_range: tuple[float, float],
    voxel_size: float,
    stride: int,
) -> None:
    """Write the cloud that all frames of a scan show, as ``.npy`` with colours in [0, 255].

    Args:
        path: of the file.
        frames: see :class:`~mm3dpretrain.datasets.rgbd_frames.RGBDFrames`.
        depth_range: see :func:`~mm3dpretrain.datasets.frame_files.read_frame_depth`.
        voxel_size: see :func:`fuse_views`; frame after frame, so that memory stays small.
        stride: see :func:`fuse_views`.

    Raises:
        SampleError: for a broken frame.
    """
    cloud = np.zeros((0, len(CHANNELS)), np.float32)
    for frame in frames:
        image, depth, intrinsics = read_view(frame, depth_range)
        view = View(depth, intrinsics, np.linalg.inv(frame['cam2world']))
        new = fuse_views(image[None], [view], voxel_size, stride)
        cloud = thin_out(np.concatenate([cloud, new]), voxel_size)
    cloud[:, 3:] *= 255
    with atomic_path(path) as temporary:
        np.save(temporary, cloud)
