"""Pixels of two views that show the same point of a surface."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class View(NamedTuple):
    """One frame.

    Attributes:
        depth: (H, W) along z, 0 where nothing was measured.
        intrinsics: (3, 3), pixel centres at j + 0.5.
        extrinsics: (4, 4) world-to-camera.
    """

    depth: np.ndarray
    intrinsics: np.ndarray
    extrinsics: np.ndarray


def lift(uv: np.ndarray, z: np.ndarray, view: View) -> np.ndarray:
    """World positions (n, 3) of pixel positions (n, 2) with depths (n,), in float64."""
    homogeneous = np.concatenate([uv, np.ones((len(uv), 1))], 1).astype(np.float64)
    camera = homogeneous @ np.linalg.inv(view.intrinsics).T * z[:, None]
    inverse = np.linalg.inv(view.extrinsics)
    return camera @ inverse[:3, :3].T + inverse[:3, 3]


def project(points: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Pixel positions (n, 2) and depths (n,) of world positions (n, 3), in float64.

    Points with a depth of 0 or less are behind the camera; their position has no meaning.
    """
    camera = points @ view.extrinsics[:3, :3].T + view.extrinsics[:3, 3]
    z = camera[:, 2]
    uv = camera @ view.intrinsics[:2].T / np.where(z > 1e-6, z, 1.0)[:, None]
    return uv, z


def depth_at(uv: np.ndarray, view: View) -> np.ndarray:
    """Depth (n,) of the pixels that positions (n, 2) fall on; 0 outside of the picture."""
    height, width = view.depth.shape
    column, row = np.clip(np.floor(uv), -1, [width, height]).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    value = view.depth[np.where(inside, row, 0), np.where(inside, column, 0)]
    return np.where(inside, value, 0).astype(np.float64)


def grid_points(view: View, stride: int = 1) -> np.ndarray:
    """World positions (n, 3) float64 of the measured pixels on a grid, row after row.

    Args:
        view: where they are.
        stride: distance of the rows and columns; the grid starts in the middle of its first cell.
    """
    start = stride // 2
    part = view.depth[start::stride, start::stride]
    row, column = np.nonzero(part)
    uv = np.stack([column, row], 1) * stride + (start + 0.5)
    return lift(uv, part[row, column].astype(np.float64), view)


def match_pixels(
    pixels: np.ndarray, source: View, target: View, depth_tol: float, max_error: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where another view shows what is seen at pixels, checked both ways.

    The point of a pixel is lifted with its depth and projected to the target. It is seen there if
    the target measured the same depth at that place. Then what the target measured there is lifted
    and projected back: it must hit the source's pixel again, at the depth measured there. So rims,
    where a depth camera mixes two surfaces, and occluded pixels drop out.

    Args:
        pixels: (n, 2) positions in the source, pixel centres at j + 0.5.
        source: where they are.
        target: the other view.
        depth_tol: largest difference of depths of one surface, in the unit of the depth.
        max_error: largest distance of the way back from the pixel, in pixels.

    Returns:
        ``targets`` (n, 2) positions in the other view (0 where there is none), and bool (n,).
    """
    z = depth_at(pixels, source)
    uv, there = project(lift(pixels, z, source), target)
    measured = depth_at(uv, target)
    seen = (z > 0) & (there > 1e-6) & (measured > 0) & (np.abs(there - measured) < depth_tol)
    back, again = project(lift(uv, measured, target), source)
    seen &= (again > 1e-6) & (np.abs(again - z) < depth_tol)
    seen &= np.linalg.norm(back - pixels, axis=1) <= max_error
    return np.where(seen[:, None], uv, 0.0), seen


def sample_matches(
    first: View,
    second: View,
    num: int,
    depth_tol: float,
    max_error: float,
    rng: np.random.Generator,
    tries: int = 16,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random matches of two views: half start at pixels of the first, half of the second.

    If one half has too few the other fills up.

    Args:
        first, second: the views.
        num: Q, how many are wanted.
        depth_tol, max_error: see :func:`match_pixels`.
        rng: draws the pixels.
        tries: so many pixels are looked at for each match wanted.

    Returns:
        ``a`` (Q, 2) in the first view, ``b`` (Q, 2) the same points in the second, and bool (Q,);
        rows that are not valid come last and are 0.
    """
    halves = []
    for source, target in ((first, second), (second, first)):
        row, column = np.nonzero(source.depth)
        if len(row) > tries * num:
            chosen = rng.choice(len(row), tries * num, replace=False)
            row, column = row[chosen], column[chosen]
        else:
            order = rng.permutation(len(row))
            row, column = row[order], column[order]
        pixels = np.stack([column, row], 1) + 0.5
        targets, seen = match_pixels(pixels, source, target, depth_tol, max_error)
        halves.append([pixels[seen], targets[seen]])
    here, there = halves
    there = there[::-1]
    share = min(len(here[0]), max(num - num // 2, num - len(there[0])))
    a, b = (np.concatenate([x[:share], y[: num - share]])[:num] for x, y in zip(here, there))
    missing = num - len(a)
    valid = np.arange(num) < len(a)
    pad = np.zeros((missing, 2))
    return np.concatenate([a, pad]), np.concatenate([b, pad]), valid
