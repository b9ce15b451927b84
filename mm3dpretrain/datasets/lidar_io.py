"""Scans of LiDAR sensors, read so that a broken or misread one is noticed."""

from __future__ import annotations

import os

import numpy as np

from .io import SampleError, check_cloud

#: floats per point that public sets use: KITTI 4, nuScenes 5, Waymo 6
USUAL_WIDTHS = (4, 5, 6)
#: metres; no sensor of a car measures this far
MAX_RANGE = 1000.0


def read_lidar(
    path: str | os.PathLike, num_feats: int, intensity_scale: float | str = 1.0
) -> np.ndarray:
    """Read a scan of float32 records: x, y, z in metres, intensity, and what else there is.

    A file that holds another number of floats per point often has a size that fits too. It is
    recognised by its intensities, which would be coordinates.

    Args:
        path: the file.
        num_feats: floats per point in the file, at least 4.
        intensity_scale: the largest intensity, which becomes 1 (KITTI 1, nuScenes 255), or
            'tanh' for sensors without one (Waymo): ``tanh`` brings it into [0, 1).

    Returns:
        (N, num_feats) float32, column 3 in [0, 1].

    Raises:
        SampleError: if the file is missing, empty or truncated, has values that are not finite, or
            does not look like ``num_feats`` floats per point.
        ValueError: for ``num_feats`` below 4 or an impossible scale.
    """
    path = os.fspath(path)
    if num_feats < 4:
        raise ValueError(f'a scan has at least x, y, z, intensity: num_feats={num_feats}')
    if intensity_scale != 'tanh' and not float(intensity_scale) > 0:
        raise ValueError(f"intensity_scale must be positive or 'tanh', got {intensity_scale}")
    try:
        values = np.fromfile(path, dtype='<f4')
        size = os.path.getsize(path)
    except OSError as error:
        raise SampleError(f'{path}: cannot read the scan ({error})') from error
    if size == 0:
        raise SampleError(f'{path}: the scan is empty')
    if size % (4 * num_feats):
        raise SampleError(
            f'{path}: {size} bytes are no whole number of points of {num_feats} float32: the file '
            f'is truncated, or has another number of floats per point{_guess(values)}'
        )
    points = check_cloud(values.reshape(-1, num_feats), path)
    limit = np.inf if intensity_scale == 'tanh' else 1.001 * float(intensity_scale)
    if not _plausible(points, limit):
        low, high = float(points[:, 3].min()), float(points[:, 3].max())
        wanted = 'at least 0' if limit == np.inf else f'in [0, {intensity_scale:g}]'
        raise SampleError(
            f'{path}: read as {num_feats} floats per point the intensity goes from {low:g} to '
            f'{high:g}, it should be {wanted}, and coordinates up to '
            f'{float(np.abs(points[:, :3]).max()):g} m; num_pts_feats or intensity_scale is wrong'
            f'{_guess(values)}'
        )
    points = points.copy()
    if intensity_scale == 'tanh':
        points[:, 3] = np.tanh(points[:, 3])
    else:
        points[:, 3] = np.clip(points[:, 3] / np.float32(intensity_scale), 0, 1)
    return points


def _plausible(points: np.ndarray, limit: float) -> bool:
    intensity = points[:, 3]
    return bool(
        intensity.min() >= 0 and intensity.max() <= limit and abs(points[:, :3]).max() < MAX_RANGE
    )


def _guess(values: np.ndarray) -> str:
    """What else the file could be, as the end of a message."""
    fits = []
    for width in USUAL_WIDTHS:
        # a truncated file still shows its width
        rows = values[: len(values) // width * width].reshape(-1, width)
        if len(rows) and np.isfinite(rows).all() and _plausible(rows, 65536):
            fits.append(str(width))
    return f' (it looks like {" or ".join(fits)} floats per point)' if fits else ''
