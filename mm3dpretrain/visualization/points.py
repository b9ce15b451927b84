"""Pictures of point clouds for people."""

from __future__ import annotations

import cv2
import numpy as np
import torch


def draw_points(
    points: np.ndarray,
    size: int,
    colors: np.ndarray | None = None,
    azimuth: float = 30.0,
    up_axis: str = 'y',
) -> np.ndarray:
    """Draw a cloud as dots, near ones over far ones, seen from 20 degrees above.

    Args:
        points: (N, >= 3), about the unit sphere.
        size: side of the picture in pixels.
        colors: (N, 3) uint8 RGB; default from dark (near) to light (far).
        azimuth: of the viewer, degrees.
        up_axis: 'x', 'y' or 'z', upwards in the picture.

    Returns:
        (size, size, 3) uint8 RGB on white.
    """
    # drawing shall not import all models with this module
    from mm3dpretrain.models.renderers.views import orbit_views

    cameras = orbit_views(
        1, elevation=20, distance=2.8, image_size=size, up_axis=up_axis, start_azimuth=azimuth
    )
    cloud = torch.from_numpy(np.ascontiguousarray(points[None, :, :3], dtype=np.float32))
    uv, depth = cameras.project(cloud)
    uv, depth = uv[0, 0].numpy(), depth[0, 0].numpy()
    if colors is None:
        shade = np.interp(depth, [depth.min(), depth.max() + 1e-6], [30, 200])
        colors = np.repeat(shade[:, None], 3, 1)
    picture = np.full((size, size, 3), 255, np.uint8)
    radius = max(1, size // 80)
    for index in np.argsort(-depth):
        center = (int(uv[index, 0]), int(uv[index, 1]))
        cv2.circle(picture, center, radius, [int(c) for c in colors[index]], -1)
    return picture
