"""3D boxes for people: from above among the points, and as edges in camera pictures."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .points import paint_dots

# the order of mmdet3d's ``corners``: which of the two values of each own axis a corner has
_BITS = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 0, 0], [1, 0, 1], [1, 1, 1],
                  [1, 1, 0]])  # fmt: skip
EDGES = [
    (a, b) for a in range(8) for b in range(a + 1, 8) if np.abs(_BITS[a] - _BITS[b]).sum() == 1
]
NEAR = 0.1  # metres in front of a camera from where on edges are drawn
_MARGIN = 0.03  # of the side of a view from above


def view_from_above(
    points: np.ndarray,
    boxes: Sequence[tuple[np.ndarray, tuple[int, int, int]]],
    size: int = 512,
    up: str = 'y',
    limits: Sequence[float] | None = None,
    colors: np.ndarray | None = None,
) -> np.ndarray:
    """Draw points and boxes as seen from straight above.

    Args:
        points: (N, >= 3) in metres; N may be 0.
        boxes: groups of (corners (M, 8, 3) in the order of mmdet3d's ``corners``, RGB colour),
            later ones over earlier ones; a stroke leads from the middle of a box to its front.
        size: side of the picture in pixels.
        up: axis of the frame that points upwards in the picture: 'x' (y is left), 'y' (x is
            right) or 'z' of a camera frame (x is right).
        limits: (smallest, smallest, largest, largest) of the two axes shown, in the frame's order;
            default: as far as 99 % of the points and all boxes go.
        colors: (N, 3) uint8 RGB; default by height, dark to light blue.

    Returns:
        (size, size, 3) uint8 RGB on white; both axes have one scale.

    Raises:
        ValueError: for another axis, or values that are not finite.
    """
    if up not in ('x', 'y', 'z'):
        raise ValueError(f"up must be 'x', 'y' or 'z', got {up!r}")
    points = np.asarray(points, np.float64)[:, :3]
    boxes = [(np.asarray(corners, np.float64).reshape(-1, 8, 3), color) for corners, color in boxes]
    everything = [points, *(corners.reshape(-1, 3) for corners, _ in boxes)]
    if not all(np.isfinite(part).all() for part in everything):
        raise ValueError('points and boxes must be finite')
    shown = [0, 2] if up == 'z' else [0, 1]
    low, high = _limits(points[:, shown], everything[1:], shown) if limits is None else (
        np.array(limits[:2], np.float64), np.array(limits[2:], np.float64)
    )  # fmt: skip
    center = (low + high) / 2
    scale = size * (1 - 2 * _MARGIN) / max(float((high - low).max()), 1e-6)

    def to_pixels(xyz: np.ndarray) -> np.ndarray:
        plane = (xyz[..., shown] - center) * scale
        # upwards in the picture is towards row 0
        right, above = (
            (-plane[..., 1], plane[..., 0]) if up == 'x' else (plane[..., 0], plane[..., 1])
        )
        return np.stack([size / 2 + right, size / 2 - above], -1)

    picture = np.full((size, size, 3), 255, np.uint8)
    if len(points):
        if colors is None:
            colors = _height_colors(-points[:, 1] if up == 'z' else points[:, 2])
        # few points would hardly be seen as single pixels
        paint_dots(picture, to_pixels(points), colors, 2 if len(points) < size * size / 8 else 1)
    thickness = max(1, size // 400)
    for corners, color in boxes:
        for box in corners:
            flat = to_pixels(box)
            for a, b in EDGES:
                _line(picture, flat[a], flat[b], color, thickness)
            _line(picture, flat.mean(0), flat[4:].mean(0), color, thickness)
    return picture


def boxes_in_picture(
    picture: np.ndarray,
    boxes: Sequence[tuple[np.ndarray, tuple[int, int, int]]],
    projection: np.ndarray,
) -> np.ndarray:
    """Draw the edges of boxes into a camera picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        boxes: groups of (corners (M, 8, 3) in the order of mmdet3d's ``corners``, RGB colour).
        projection: (3, 3), (3, 4) or (4, 4) from the boxes' frame to pixels:
            ``depth * (u, v, 1) = P (x, y, z, 1)``.

    Returns:
        A copy of the picture. What lies behind the camera is cut off.

    Raises:
        ValueError: for a projection of another shape.
    """
    matrix = projection_matrix(projection)
    picture = np.ascontiguousarray(picture).copy()
    thickness = max(1, picture.shape[1] // 600)
    for corners, color in boxes:
        corners = np.asarray(corners, np.float64).reshape(-1, 8, 3)
        for box in corners @ matrix[:, :3].T + matrix[:, 3]:
            for a, b in EDGES:
                ends = _cut_at_camera(box[a], box[b])
                if ends is not None:
                    _line(picture, ends[0, :2] / ends[0, 2], ends[1, :2] / ends[1, 2], color,
                          thickness)  # fmt: skip
    return picture


def projection_matrix(projection: np.ndarray) -> np.ndarray:
    """(3, 4) of a (3, 3), (3, 4) or (4, 4) projection.

    Raises:
        ValueError: for another shape.
    """
    matrix = np.asarray(projection, np.float64)
    if matrix.shape not in ((3, 3), (3, 4), (4, 4)):
        raise ValueError(f'a projection is (3, 3), (3, 4) or (4, 4), got {matrix.shape}')
    whole = np.eye(4)
    whole[: matrix.shape[0], : matrix.shape[1]] = matrix
    return whole[:3]


def projected_rectangle(
    corners: np.ndarray, projection: np.ndarray, shape: tuple[int, int]
) -> np.ndarray | None:
    """The rectangle around the visible part of a projected box.

    Args:
        corners: (8, 3) in the order of mmdet3d's ``corners``.
        projection: see :func:`boxes_in_picture`.
        shape: (height, width) of the picture.

    Returns:
        (4,) left, top, right, bottom in pixels, inside the picture; None where nothing is in it.
    """
    matrix = projection_matrix(projection)
    box = np.asarray(corners, np.float64) @ matrix[:, :3].T + matrix[:, 3]
    ends = [_cut_at_camera(box[a], box[b]) for a, b in EDGES]
    ends = np.concatenate([end for end in ends if end is not None] or [np.zeros((0, 3))])
    if not len(ends):
        return None
    pixels = ends[:, :2] / ends[:, 2:]
    limit = np.array([shape[1], shape[0]], np.float64)
    low, high = np.clip(pixels.min(0), 0, limit), np.clip(pixels.max(0), 0, limit)
    return np.concatenate([low, high]) if (high > low).all() else None


def _cut_at_camera(start: np.ndarray, end: np.ndarray) -> np.ndarray | None:
    """The part (2, 3) of a segment in homogeneous pixels that is in front of the camera."""
    depths = np.array([start[2], end[2]])
    if (depths < NEAR).all():
        return None
    segment = np.stack([start, end])
    if depths.min() < NEAR:
        share = (NEAR - start[2]) / (end[2] - start[2])
        segment[int(depths.argmin())] = start + share * (end - start)
    return segment


def _line(picture: np.ndarray, start, end, color, thickness: int) -> None:
    """A line between pixels (u, v) that may lie far outside."""
    height, width = picture.shape[:2]
    far = 2**20  # OpenCV clips in 32 bits
    start, end = (np.clip(np.round(p), -far, far).astype(int).tolist() for p in (start, end))
    inside, start, end = cv2.clipLine((-4, -4, width + 8, height + 8), start, end)
    if inside:
        cv2.line(picture, start, end, [int(c) for c in color], thickness, cv2.LINE_AA)


def _limits(points: np.ndarray, corners: Sequence[np.ndarray], shown: list[int]):
    """Smallest and largest of both shown axes."""
    parts = [part[:, shown] for part in corners if len(part)]
    if len(points):
        parts.append(np.percentile(points, [0.5, 99.5], axis=0))
    if not parts:
        return np.full(2, -1.0), np.full(2, 1.0)
    parts = np.concatenate(parts)
    return parts.min(0), parts.max(0)


def _height_colors(height: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 RGB, dark (low) to light blue (high) between the 2nd and 98th percentile."""
    low, high = np.percentile(height, [2, 98])
    share = np.clip((height - low) / max(high - low, 1e-6), 0, 1)[:, None]
    # neither the green nor the red of boxes
    return np.uint8((1 - share) * (30, 30, 80) + share * (150, 185, 240))
