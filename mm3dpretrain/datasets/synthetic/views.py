"""Cameras of the 3D-R2N2 rendering files."""

from __future__ import annotations

import numpy as np
import torch

from mm3dpretrain.structures.cameras import Cameras, look_at

# azimuth, elevation, in-plane rotation, distance, field of view
METADATA_COLUMNS = 5


def random_metadata(rng: np.random.Generator, num_views: int, fov: float = 35.0) -> np.ndarray:
    """Random views all round a shape in the unit sphere, which fits into every picture.

    Azimuths are spread evenly from a random start, with some scatter; elevations are between 10
    and 40 degrees, as the eye usually sees things.

    Args:
        rng: random numbers.
        num_views: V.
        fov: full field of view in degrees.

    Returns:
        (V, 5) float64, rounded to 6 digits as the text file stores them: azimuth, elevation,
        in-plane rotation (0), distance from the origin, field of view; degrees and scene units.
    """
    step = 360.0 / num_views
    azimuth = rng.uniform(0, 360) + step * (
        np.arange(num_views) + rng.uniform(-0.3, 0.3, num_views)
    )
    nearest = 1.0 / np.sin(np.radians(fov / 2))
    columns = (
        azimuth % 360,
        rng.uniform(10, 40, num_views),
        np.zeros(num_views),
        nearest * rng.uniform(1.0, 1.1, num_views),
        np.full(num_views, fov),
    )
    return np.round(np.stack(columns, 1), 6)


def metadata_cameras(metadata: np.ndarray, image_size: int) -> Cameras:
    """Perspective cameras of ``rendering_metadata.txt``, looking at the origin.

    The camera of azimuth a and elevation e is at ``d (cos e cos a, sin e, cos e sin a)``, +y is up
    in the picture. Unlike 3D-R2N2's own files, distances are in scene units and the field of view
    is that of the square picture.

    Args:
        metadata: (V, 5), see :func:`random_metadata`; the in-plane rotation must be 0.
        image_size: side of the square pictures in pixels.

    Returns:
        V cameras of one sample, float32.

    Raises:
        ValueError: for another shape or an in-plane rotation.
    """
    metadata = np.asarray(metadata, dtype=np.float64)
    if metadata.ndim != 2 or metadata.shape[1] != METADATA_COLUMNS:
        raise ValueError(f'metadata must be (V, {METADATA_COLUMNS}), got {metadata.shape}')
    if np.any(metadata[:, 2] != 0):
        raise ValueError(f'in-plane rotations are not supported: {metadata[:, 2].tolist()}')
    azimuth, elevation = np.radians(metadata[:, 0]), np.radians(metadata[:, 1])
    distance = metadata[:, 3:4]
    eyes = distance * np.stack(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.sin(elevation),
            np.cos(elevation) * np.sin(azimuth),
        ],
        1,
    )
    extrinsics = look_at(torch.from_numpy(eyes), up=torch.tensor([0.0, 1.0, 0.0]))
    intrinsics = np.zeros((len(metadata), 3, 3))
    focal = image_size / 2 / np.tan(np.radians(metadata[:, 4]) / 2)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = image_size / 2
    intrinsics[:, 2, 2] = 1
    return Cameras(
        extrinsics.float()[None],
        torch.from_numpy(intrinsics).float()[None],
        (image_size, image_size),
    )
