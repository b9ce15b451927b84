"""Queries beside the shapes they found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mm3dpretrain.datasets.io import check_cloud

from .contact_sheet import _line, contact_sheet
from .points import bounding_sphere, draw_mesh, draw_points

if TYPE_CHECKING:
    from mm3dpretrain.datasets.mesh_io import Mesh


def shape_picture(
    shape: np.ndarray | Mesh | str | os.PathLike,
    size: int = 160,
    colors: np.ndarray | None = None,
    up_axis: str = 'y',
    azimuth: float = 30.0,
) -> np.ndarray:
    """A picture of one shape of any size at any place.

    Args:
        shape: a cloud (N, >= 3), a mesh, or a file of either. A file's own colours are shown.
        size: side of the picture in pixels.
        colors: (N, 3) uint8 RGB of a cloud; default from dark (near) to light (far).
        up_axis: 'x', 'y' or 'z', upwards in the picture.
        azimuth: of the viewer, degrees.

    Returns:
        (size, size, 3) uint8 RGB on white.

    Raises:
        SampleError: for a broken file, or a cloud that is empty or not finite.
    """
    if isinstance(shape, (str, os.PathLike)):
        shape, colors = read_shape(shape)
    points = shape.vertices if hasattr(shape, 'faces') else check_cloud(shape, 'the cloud')
    center, radius = bounding_sphere(points)
    points = ((points[:, :3] - center) / radius).astype(np.float32)
    if hasattr(shape, 'faces'):
        return draw_mesh(points, shape.faces, size, shape.appearance, azimuth, up_axis)
    return draw_points(points, size, colors, azimuth, up_axis)


def read_shape(path: str | os.PathLike) -> tuple[np.ndarray | Mesh, np.ndarray | None]:
    """A mesh with faces, or a cloud (N, C) and its colours (N, 3) uint8 or None.

    Raises:
        SampleError: for a broken file or an unknown suffix.
    """
    from mm3dpretrain.datasets.mesh_io import MESH_SUFFIXES, read_cloud, read_mesh

    if Path(path).suffix.lower() in MESH_SUFFIXES:
        mesh = read_mesh(path)
        if len(mesh.faces):
            return mesh, None
    cloud = read_cloud(path)
    return cloud['points'], cloud.get('rgb')


def draw_retrieval_sheet(
    queries: Sequence[str | np.ndarray],
    found: Sequence[Sequence[np.ndarray]],
    captions: Sequence[Sequence[str]] | None = None,
    columns: int = 5,
) -> np.ndarray:
    """For every query the pictures of what it found, best first.

    Args:
        queries: texts, which stand above their row, or pictures (h, w, 3) uint8 RGB, which stand at
            its beginning.
        found: for each query pictures (H, W, 3) uint8 RGB of one size, such as those of
            :func:`shape_picture`.
        captions: a text above each picture, such as name and score; default their ranks.
        columns: the first so many are shown.

    Returns:
        (H', W', 3) uint8 RGB.

    Raises:
        ValueError: for no query, a query that found nothing, or lists of different length.
    """
    if not queries or len(queries) != len(found):
        raise ValueError(f'{len(queries)} queries and {len(found)} lists of pictures')
    if captions is None:
        captions = [[str(rank) for rank in range(1, len(row) + 1)] for row in found]
    if [len(row) for row in captions] != [len(row) for row in found]:
        raise ValueError('each picture needs a caption')
    blocks = []
    for query, pictures, texts in zip(queries, found, captions):
        if not len(pictures):
            raise ValueError(f'nothing was found for {query!r}')
        row, above = list(pictures[:columns]), list(texts[:columns])
        if not isinstance(query, str):
            row.insert(0, _fit(query, *row[0].shape[:2]))
            above.insert(0, 'query')
        block = contact_sheet([row], above)
        if isinstance(query, str):
            block = np.concatenate([_line([query], block.shape[1], block.shape[1]), block])
        blocks.append(block)
    width = max(block.shape[1] for block in blocks)
    return np.concatenate(
        [
            np.pad(block, ((0, 0), (0, width - block.shape[1]), (0, 0)), constant_values=255)
            for block in blocks
        ]
    )


def _fit(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The whole picture in a frame of another size, on white."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = [max(1, round(side * scale)) for side in picture.shape[:2]]
    small = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)
    framed = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    framed[top : top + size[0], left : left + size[1]] = small
    return framed
