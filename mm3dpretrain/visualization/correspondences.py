"""Two views of a scene: 3D features beside the teacher's, and which pixels were matched."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .feature_colors import pca_colors
from .lidar_overlay import scale_colors

GAP = 6


def feature_pictures(
    projected: np.ndarray,
    target: np.ndarray,
    mask: np.ndarray,
    image_size: tuple[int, int],
    covered: tuple[int, int] | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Maps of features as pictures: the three main components of both kinds together.

    One colour is one direction of features, in the 3D ones (where no point is seen: white), in the
    teacher's, and in every view; their lengths, which a cosine does not learn, are left out.

    Args:
        projected: (V, C, h, w), what the 3D features became in the views.
        target: (V, C, h, w) of the teacher.
        mask: bool (V, h, w), where a point is seen.
        image_size: (H, W) of the pictures.
        covered: (H', W') pixels that a map covers, from the first pixel on; default the picture.

    Returns:
        V pictures (H, W, 3) uint8 of the 3D features, and V of the teacher.

    Raises:
        ValueError: for maps of different shape, or if no point is seen in any view.
    """
    if projected.shape != target.shape or mask.shape != (len(target), *target.shape[2:]):
        raise ValueError(
            f'projected {projected.shape}, target {target.shape} and mask {mask.shape} do not fit: '
            'need (V, C, h, w) twice and (V, h, w)'
        )
    if not mask.any():
        raise ValueError('no view sees any point: are poses and depth those of the cloud?')
    found = _directions(projected)[mask]
    wanted = _directions(target)
    of_points, of_teacher = pca_colors([found, wanted.reshape(-1, wanted.shape[-1])])
    drawn = np.full((*mask.shape, 3), 255, np.uint8)
    drawn[mask] = of_points
    height, width = covered or image_size

    def enlarge(maps: np.ndarray) -> list[np.ndarray]:
        large = [cv2.resize(m, (width, height), interpolation=cv2.INTER_NEAREST) for m in maps]
        return [m[: image_size[0], : image_size[1]] for m in large]

    return enlarge(drawn), enlarge(of_teacher.reshape(wanted.shape[:3] + (3,)))


def _directions(maps: np.ndarray) -> np.ndarray:
    """Features of unit length: (V, C, h, w) to (V, h, w, C)."""
    maps = maps.transpose(0, 2, 3, 1)
    return maps / np.maximum(np.linalg.norm(maps, axis=-1, keepdims=True), 1e-12)


def draw_matches(
    first: np.ndarray,
    second: np.ndarray,
    queries: np.ndarray,
    predicted: np.ndarray,
    targets: np.ndarray | None = None,
    num: int = 24,
    max_error: float = 20.0,
) -> np.ndarray:
    """Two pictures side by side, a line from every query to the pixel that was found for it.

    Args:
        first: (H, W, 3) uint8 RGB, the picture of the queries.
        second: (H, W, 3) uint8 RGB, the picture that they were looked for in.
        queries: (Q, 2) pixels (u, v) in the first picture; the centre of pixel j is j + 0.5.
        predicted: (Q, 2) pixels in the second one; those outside end at its rim.
        targets: (Q, 2), where the pixels are in truth: small circles. Lines are then coloured by
            their error, from blue, none, to red; without them by the height of the query.
        num: so many of them, evenly through the list.
        max_error: error in pixels of the red lines.

    Returns:
        (H, 2 W + gap, 3) uint8 RGB.

    Raises:
        ValueError: for pictures of different size or numbers of pixels that do not fit.
    """
    queries, predicted = np.asarray(queries, float), np.asarray(predicted, float)
    known = np.asarray(targets, float) if targets is not None else predicted
    if first.shape != second.shape or not len(queries) == len(predicted) == len(known):
        raise ValueError(
            f'pictures {first.shape} and {second.shape} with {len(queries)} queries, '
            f'{len(predicted)} predictions and {len(known)} targets do not fit'
        )
    height, width = first.shape[:2]
    picture = np.concatenate(
        [first, np.full((height, GAP, 3), 255, np.uint8), second], axis=1
    ).copy()
    if not len(queries):
        return picture
    chosen = np.unique(np.linspace(0, len(queries) - 1, num).round().astype(int))
    if targets is None:
        colors = scale_colors(queries[:, 1], 0.0, float(height))
    else:
        colors = scale_colors(np.linalg.norm(predicted - known, axis=1), 0.0, max_error)
    offset = np.array([width + GAP, 0])
    inside = np.clip(predicted, 0, [width - 1, height - 1])
    for i in chosen:
        color = tuple(int(c) for c in colors[i])
        start, end = (tuple(np.floor(p).astype(int)) for p in (queries[i], inside[i] + offset))
        start, end = tuple(map(int, start)), tuple(map(int, end))
        cv2.line(picture, start, end, color, 1, cv2.LINE_AA)
        cv2.circle(picture, start, 2, color, -1, cv2.LINE_AA)
        cv2.circle(picture, end, 2, color, -1, cv2.LINE_AA)
        if targets is not None:
            place = np.floor(known[i] + offset).astype(int)
            cv2.circle(picture, tuple(map(int, place)), 4, color, 1, cv2.LINE_AA)
    return picture


def correspondence_sheet(
    images: Sequence[np.ndarray], rows: Sequence[Sequence[np.ndarray]], matches: np.ndarray
) -> np.ndarray:
    """Pictures of two views, rows of feature pictures and the matches below each other.

    Args:
        images: two pictures (H, W, 3) uint8 RGB.
        rows: pairs of pictures of the same size.
        matches: what :func:`draw_matches` returns for them.

    Returns:
        (H', 2 W + gap, 3) uint8 RGB.
    """
    height = images[0].shape[0]
    gap = np.full((height, GAP, 3), 255, np.uint8)
    lines = [np.concatenate([pair[0], gap, pair[1]], axis=1) for pair in (images, *rows)]
    lines.append(matches)
    bar = np.full((GAP, lines[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for line in lines for part in (line, bar)][:-1])
