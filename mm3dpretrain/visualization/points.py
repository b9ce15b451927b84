"""Pictures of point clouds and meshes for people."""

from __future__ import annotations

import cv2
import numpy as np
import torch

# where the viewer of all pictures stands
ELEVATION = 20.0
DISTANCE = 2.8


def draw_points(
    points: np.ndarray,
    size: int,
    colors: np.ndarray | None = None,
    azimuth: float = 30.0,
    up_axis: str = 'y',
) -> np.ndarray:
    """Draw a cloud as dots, near ones over far ones, seen from 20 degrees above.

    Args:
        points: (N, >= 3), about the unit sphere; N may be 0.
        size: side of the picture in pixels.
        colors: (N, 3) uint8 RGB; default from dark (near) to light (far).
        azimuth: of the viewer, degrees.
        up_axis: 'x', 'y' or 'z', upwards in the picture.

    Returns:
        (size, size, 3) uint8 RGB on white.
    """
    picture = np.full((size, size, 3), 255, np.uint8)
    if len(points) == 0:
        return picture
    cloud = torch.from_numpy(np.ascontiguousarray(points[None, :, :3], dtype=np.float32))
    uv, depth = viewer(size, azimuth, up_axis).project(cloud)
    uv, depth = uv[0, 0].numpy(), depth[0, 0].numpy()
    if colors is None:
        shade = np.interp(depth, [depth.min(), depth.max() + 1e-6], [30, 200])
        colors = np.repeat(shade[:, None], 3, 1)
    radius = max(1, size // 80)
    for index in np.argsort(-depth):
        center = (int(uv[index, 0]), int(uv[index, 1]))
        cv2.circle(picture, center, radius, [int(c) for c in colors[index]], -1)
    return picture


def paint_dots(picture: np.ndarray, uv: np.ndarray, colors: np.ndarray, width: int) -> None:
    """Draw square dots into a picture, later ones over earlier ones.

    Args:
        picture: (H, W, 3) uint8, changed in place.
        uv: (N, 2) positions in pixels, to the right and downwards; those outside are left out.
        colors: (N, 3) uint8.
        width: side of a dot in pixels; it reaches to the right of its point and below it.
    """
    last = np.array(picture.shape[1::-1]) - 1
    pixels = np.floor(uv)
    inside = ((pixels >= 0) & (pixels <= last)).all(1)
    pixels, colors = pixels[inside].astype(np.int64), colors[inside]
    for down, right in np.ndindex(width, width):
        column, row = np.minimum(pixels + (right, down), last).T
        picture[row, column] = colors


def draw_mesh(
    vertices: np.ndarray,
    faces: np.ndarray,
    size: int,
    appearance: dict | None = None,
    azimuth: float = 30.0,
    up_axis: str = 'y',
) -> np.ndarray:
    """Draw a shaded mesh, seen from where :func:`draw_points` looks.

    Args:
        vertices: (P, 3), about the unit sphere.
        faces: (F, 3) integers.
        size: side of the picture in pixels.
        appearance: colours, see :func:`~mm3dpretrain.visualization.shading.render_mesh`; default
            light grey.
        azimuth: of the viewer, degrees.
        up_axis: 'x', 'y' or 'z', upwards in the picture.

    Returns:
        (size, size, 3) uint8 RGB on white.

    Raises:
        ValueError: for a mesh that is none.
    """
    from .shading import render_mesh  # imports numba

    # the lamp stands above, whatever axis that is
    light = np.roll([0.4, 1.0, 0.25], 'yzx'.index(up_axis))
    views = render_mesh(
        vertices,
        faces,
        viewer(size, azimuth, up_axis),
        light_direction=tuple(light),
        **(appearance or {}),
    )
    return views.rgb[0]


def viewer(size: int, azimuth: float, up_axis: str):
    """Camera of all pictures: 20 degrees above the horizon, the unit sphere fills the picture.

    Args:
        size: side of the picture in pixels.
        azimuth: degrees, see :func:`~mm3dpretrain.models.renderers.orbit_views`.
        up_axis: 'x', 'y' or 'z'.

    Returns:
        :class:`~mm3dpretrain.structures.Cameras` with one view.
    """
    # drawing shall not import all models with this module
    from mm3dpretrain.models.renderers.views import orbit_views

    return orbit_views(
        1,
        elevation=ELEVATION,
        distance=DISTANCE,
        image_size=size,
        up_axis=up_axis,
        start_azimuth=azimuth,
    )


def bounding_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre of the bounding box (3,) and distance of the farthest point from it, at least 1e-9.

    Args:
        points: (N, >= 3), N >= 1.
    """
    points = np.asarray(points, np.float64)[:, :3]
    center = (points.min(0) + points.max(0)) / 2
    return center, max(float(np.linalg.norm(points - center, axis=1).max()), 1e-9)
