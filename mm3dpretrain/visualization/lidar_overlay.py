"""Pictures of LiDAR scans: over the camera's picture, and from above."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .points import paint_dots

# shares of the values that get the first and the last colour
LOW, HIGH = 0.02, 0.98


def scale_colors(
    values: np.ndarray,
    low: float | None = None,
    high: float | None = None,
    colormap: int = cv2.COLORMAP_TURBO,
) -> np.ndarray:
    """Colours of numbers.

    Args:
        values: (N,); what is not finite becomes mid-grey.
        low, high: ends of the scale; default the 2 % and 98 % quantiles.
        colormap: one of OpenCV's; the default goes from dark blue over green to dark red.

    Returns:
        (N, 3) uint8 RGB.
    """
    values = np.asarray(values, np.float64).reshape(-1)
    finite = np.isfinite(values)
    colors = np.full((len(values), 3), 128, np.uint8)
    if not finite.any():
        return colors
    ends = np.quantile(values[finite], [LOW, HIGH])
    low = ends[0] if low is None else low
    high = ends[1] if high is None else high
    share = np.clip((values[finite] - low) / max(high - low, 1e-12), 0, 1)
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8), colormap)[:, 0, ::-1]
    colors[finite] = table[np.rint(255 * share).astype(np.int64)]
    return colors


def draw_lidar_overlay(
    image: np.ndarray,
    points: np.ndarray,
    lidar2img: np.ndarray,
    values: np.ndarray | None = None,
    low: float | None = None,
    high: float | None = None,
    radius: int | None = None,
    dim: float = 0.6,
    legend: str | None = None,
) -> np.ndarray:
    """Draw the points of a scan over a picture, near ones over far ones.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: (N, >= 3) in the LiDAR frame; those outside of the picture are left out.
        lidar2img: (4, 4), to pixels of this picture.
        values: (N,) what the colours show, such as the similarity of matched features; default
            the depth, on a logarithmic scale with near points blue.
        low, high: ends of the scale, in metres for the depth; default from the values of the drawn
            points.
        radius: of a dot in pixels; default by the size of the picture.
        dim: factor on the picture, so that the dots stand out.
        legend: name of the values; adds a scale with its ends in the lower left corner.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: for wrong shapes.
    """
    # here, so that importing this does not import all data sets
    from mm3dpretrain.datasets.projection import project_points

    image, points = np.asarray(image), np.asarray(points)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f'image must be (H, W, 3) uint8, got {image.shape} {image.dtype}')
    if points.ndim != 2 or points.shape[1] < 3:
        raise ValueError(f'points must be (N, >= 3), got {points.shape}')
    if values is not None and np.shape(values) != (len(points),):
        raise ValueError(f'{len(points)} points but values of shape {np.shape(values)}')
    matrix = np.asarray(lidar2img, np.float64)[None]
    uv, z, inside = (array[0] for array in project_points(points, matrix, [image.shape[:2]]))
    shown = np.flatnonzero(inside)
    numbers = np.asarray(values)[shown] if values is not None else np.log(z[shown])
    if values is None:
        low, high = (None if end is None else np.log(max(end, 1e-3)) for end in (low, high))
    if low is None and len(shown) and np.isfinite(numbers).any():
        low = float(np.quantile(numbers[np.isfinite(numbers)], LOW))
    if high is None and len(shown) and np.isfinite(numbers).any():
        high = float(np.quantile(numbers[np.isfinite(numbers)], HIGH))
    colors = scale_colors(numbers, low, high)
    # in memory as OpenCV wants it, also where the image is a permuted tensor
    picture = np.ascontiguousarray(np.rint(image * dim), dtype=np.uint8)
    radius = max(1, image.shape[0] // 250) if radius is None else radius
    for place in np.argsort(-z[shown], kind='stable'):
        u, v = uv[shown[place]]
        # OpenCV counts from the centre of the first pixel
        center = (int(np.floor(u)), int(np.floor(v)))
        cv2.circle(picture, center, radius, colors[place].tolist(), -1)
    if legend is not None and low is not None and high is not None:
        ends = np.exp([low, high]) if values is None else (low, high)
        _draw_scale(picture, legend, *ends)
    return picture


def _draw_scale(picture: np.ndarray, name: str, low: float, high: float) -> None:
    height, width = picture.shape[:2]
    length = min(128, width // 3)
    bar = scale_colors(np.arange(length), 0, length - 1)[None]
    top = height - 12
    if top < 0 or length < 2:
        return
    picture[top : top + 8, 4 : 4 + length] = bar
    text = f'{low:.3g} .. {high:.3g} {name}'.encode('ascii', 'replace').decode()
    where = (8 + length, top + 9)
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(
            picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.4, color, thickness, cv2.LINE_AA
        )


def draw_birds_eye(
    points: np.ndarray,
    size: int,
    values: np.ndarray | None = None,
    extent: Sequence[float] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> np.ndarray:
    """A scan from above: +x upwards, +y to the left, as one sits in the car.

    Args:
        points: (N, >= 3).
        size: side of the picture in pixels.
        values: (N,) what the colours show; default the height z.
        extent: (x_min, y_min, x_max, y_max) in metres; default a square round all points.
        low, high: ends of the scale; default from the values.

    Returns:
        (size, size, 3) uint8 RGB on white; the sensor is a black cross.
    """
    points = np.asarray(points, np.float64)
    picture = np.full((size, size, 3), 255, np.uint8)
    if extent is None:
        extent = square_extent(points)
    x0, y0, x1, y1 = extent
    colors = scale_colors(points[:, 2] if values is None else values, low, high)
    scale = size / np.array([y1 - y0, x1 - x0])
    uv = (np.array([y1, x1]) - points[:, 1::-1]) * scale
    # the highest point of a pixel is what one sees
    order = np.argsort(points[:, 2], kind='stable')
    # dots of few points are larger, or one would not see them
    paint_dots(picture, uv[order], colors[order], 1 if len(points) > 4096 else 2)
    sensor = (int(y1 / (y1 - y0) * size), int(x1 / (x1 - x0) * size))
    cv2.drawMarker(picture, sensor, (0, 0, 0), cv2.MARKER_CROSS, 7)
    return picture


def square_extent(*clouds: np.ndarray) -> tuple[float, float, float, float]:
    """(x_min, y_min, x_max, y_max) of the smallest square round clouds (N, >= 2), 2 % wider."""
    corners = np.concatenate(
        [np.asarray(cloud)[:, :2] for cloud in clouds if len(cloud)] or [[[0.0, 0.0]]]
    )
    low, high = corners.min(0), corners.max(0)
    middle, half = (low + high) / 2, 0.51 * max(float((high - low).max()), 1e-3)
    return (*(middle - half).tolist(), *(middle + half).tolist())
