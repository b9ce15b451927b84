"""Contact sheets: pictures of the same size side by side, with labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from mm3dpretrain.structures import Cameras

if TYPE_CHECKING:
    from mm3dpretrain.models.renderers import PointSplatRenderer

_STRIP = 18  # height of a line of text, pixels
_GAP = 4


def contact_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    column_labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
) -> np.ndarray:
    """Arrange pictures in a table on white.

    Args:
        rows: pictures (H, W, 3) uint8 RGB, all of one size; rows may have different lengths.
        column_labels: a text above each column.
        row_labels: a text above each row.

    Returns:
        (H', W', 3) uint8 RGB.

    Raises:
        ValueError: for no pictures, other types, or pictures of different size.
    """
    pictures = [picture for row in rows for picture in row]
    if not pictures:
        raise ValueError('a contact sheet needs at least one picture')
    shape = pictures[0].shape
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.shape != shape or picture.shape[2:] != (3,):
            raise ValueError(
                'pictures must be (H, W, 3) uint8 of one size, got '
                f'{picture.shape} {picture.dtype} beside {shape}'
            )
    if row_labels is not None and len(row_labels) != len(rows):
        raise ValueError(f'{len(row_labels)} row labels for {len(rows)} rows')
    columns = max(len(row) for row in rows)
    width = columns * (shape[1] + _GAP) + _GAP
    parts = [_line(column_labels, width, shape[1] + _GAP)] if column_labels else []
    for index, row in enumerate(rows):
        if row_labels is not None:
            parts.append(_line([row_labels[index]], width, width))
        part = np.full((shape[0] + _GAP, width, 3), 255, np.uint8)
        for column, picture in enumerate(row):
            left = _GAP + column * (shape[1] + _GAP)
            part[: shape[0], left : left + shape[1]] = picture
        parts.append(part)
    return np.concatenate(parts)


def _line(texts: Sequence[str], width: int, step: int) -> np.ndarray:
    """A strip with a text every ``step`` pixels."""
    strip = np.full((_STRIP, width, 3), 255, np.uint8)
    for index, text in enumerate(texts):
        text = str(text).encode('ascii', 'replace').decode()  # all that the font has
        part = strip[:, index * step : (index + 1) * step]  # a long text is cut at its column
        cell = np.ascontiguousarray(part)
        cv2.putText(
            cell, text, (_GAP, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA
        )
        part[:] = cell
    return strip


def color_depth(
    depth: np.ndarray, mask: np.ndarray, low: float | None = None, high: float | None = None
) -> np.ndarray:
    """Colours for depth maps: near is yellow, far dark blue, background white.

    Args:
        depth: (..., H, W).
        mask: (..., H, W) coverage in [0, 1]; pixels fade to white where it is below 1.
        low, high: depths of the ends of the scale; default the range of all maps together.

    Returns:
        (..., H, W, 3) uint8 RGB.
    """
    hit = mask > 0
    if low is None:
        low = float(depth[hit].min()) if hit.any() else 0.0
    if high is None:
        high = float(depth[hit].max()) if hit.any() else 1.0
    scale = _nearness(depth, low, high)
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_VIRIDIS)
    colors = table[:, 0, ::-1][np.uint8(scale * 255)].astype(np.float32)
    return over_white(colors, mask)


def _nearness(depth: np.ndarray, low: float, high: float) -> np.ndarray:
    """1 at depth ``low``, 0 at ``high``."""
    return np.clip((high - depth) / max(high - low, 1e-6), 0, 1)


def over_white(colors: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Colours (..., H, W, 3) in [0, 255] over white by coverage (..., H, W); uint8."""
    mask = mask[..., None]
    return np.uint8(np.clip(mask * colors + (1 - mask) * 255, 0, 255) + 0.5)


def render_sheet(
    points: np.ndarray,
    cameras: Cameras,
    renderer: PointSplatRenderer | None = None,
    colors: np.ndarray | None = None,
) -> tuple[np.ndarray, dict]:
    """Colour, depth and mask of a cloud in every view, as a contact sheet.

    Args:
        points: (N, 3) in the world frame.
        cameras: V views (B = 1).
        renderer: default ``PointSplatRenderer()``.
        colors: (N, 3) uint8 RGB; default from the position, red for x, green for y, blue for z.

    Returns:
        The sheet (H', W', 3) uint8 RGB, and for every view what is in it: ``covered`` (share of
        pixels), ``near`` and ``far`` (smallest and largest depth, None for an empty view).

    Raises:
        ValueError: for a cloud that is empty or not finite, or wrong shapes.
    """
    points = np.asarray(points, np.float32)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise ValueError(f'points must be (N, 3) with N >= 1, got {points.shape}')
    if colors is None:
        extent = max(float(np.abs(points).max()), 1e-6)
        colors = 128 + 110 * points / extent
    if renderer is None:
        # here, so that drawing other things does not import all models
        from mm3dpretrain.models.renderers import PointSplatRenderer

        renderer = PointSplatRenderer()
    with torch.no_grad():
        output = renderer(
            torch.from_numpy(points)[None],
            cameras,
            torch.from_numpy(np.asarray(colors, np.float32))[None],
        )
    depth, mask, rgb = (
        t[0].cpu().numpy() for t in (output.depth, output.mask, output.features.movedim(2, -1))
    )
    hit = mask > 0
    if hit.any():
        # flat colours show no shape: darken what is far
        rgb = rgb * (0.5 + 0.5 * _nearness(depth, depth[hit].min(), depth[hit].max()))[..., None]
    rows = [
        over_white(rgb, mask),
        color_depth(depth, mask),
        np.repeat(np.uint8(255 * mask + 0.5)[..., None], 3, -1),
    ]
    sheet = contact_sheet(
        rows,
        column_labels=[f'view {v}' for v in range(len(depth))],
        row_labels=['colour', 'depth (near is yellow)', 'mask'],
    )
    views = []
    for view_depth, view_mask in zip(depth, mask):
        hit = view_mask > 0
        near, far = (
            (float(view_depth[hit].min()), float(view_depth[hit].max()))
            if hit.any()
            else (None,) * 2
        )
        views.append(dict(covered=float(hit.mean()), near=near, far=far))
    return sheet, dict(views=views)
