"""One HTML page, complete in itself, with objects that can be turned."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm3dpretrain.datasets.io import atomic_path

from .points import bounding_sphere
from .turntable_script import SCRIPT, STYLE

if TYPE_CHECKING:
    from mm3dpretrain.datasets.mesh_io import Mesh

GREY = (150, 150, 158)


@dataclass
class TurnableItem:
    """One object of a page: a cloud, or a mesh where there are faces.

    Args:
        title: above the object.
        points: (N, 3) points, or vertices of the mesh.
        colors: (N, 3) uint8 RGB of the points or vertices, or (F, 3) of the faces. Without any,
            faces are grey, and points go from dark (near) to light (far).
        faces: (F, 3) integers, or None.
        up_axis: 'x', 'y' or 'z', upwards on the page.
        frame: items of one frame (any text) are shown at one scale around one centre, such as an
            input and its reconstruction; None fits the item alone.
    """

    title: str
    points: np.ndarray
    colors: np.ndarray | None = None
    faces: np.ndarray | None = None
    up_axis: str = 'y'
    frame: str | None = None
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self.points = np.ascontiguousarray(self.points, dtype='<f4')
        if self.points.ndim != 2 or self.points.shape[1] != 3 or len(self.points) == 0:
            raise ValueError(f'{self.title}: points must be (N, 3), N >= 1, not {self._shapes()}')
        if not np.isfinite(self.points).all():
            raise ValueError(f'{self.title}: points have NaN or infinite values')
        if self.up_axis not in ('x', 'y', 'z'):
            raise ValueError(f"{self.title}: up_axis must be 'x', 'y' or 'z', not {self.up_axis!r}")
        if self.faces is not None:
            faces = np.asarray(self.faces)
            if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in 'iu':
                raise ValueError(f'{self.title}: faces must be integers (F, 3), not {faces.shape}')
            if len(faces) and (faces.min() < 0 or faces.max() >= len(self.points)):
                raise ValueError(
                    f'{self.title}: faces name the vertices {faces.min()} to {faces.max()} of '
                    f'{len(self.points)}'
                )
            self.faces = np.ascontiguousarray(faces, dtype='<u4')
        self.plain = self.colors is None
        if self.plain:
            self.colors = np.tile(np.uint8(GREY), (len(self.points), 1))
        self.colors = np.asarray(self.colors)
        lengths = {len(self.points)} | ({len(self.faces)} if self.faces is not None else set())
        good = self.colors.ndim == 2 and self.colors.shape[1] == 3 and len(self.colors) in lengths
        if not good or self.colors.dtype != np.uint8:
            raise ValueError(
                f'{self.title}: colors must be uint8, 3 for each point or face, not '
                f'{self.colors.dtype} {self.colors.shape} for {self._shapes()}'
            )

    def _shapes(self) -> str:
        faces = '' if self.faces is None else f' and {len(self.faces)} faces'
        return f'points of shape {np.shape(self.points)}{faces}'


def mesh_item(title: str, mesh: Mesh, up_axis: str = 'y', frame: str | None = None):
    """A mesh with its colours; textures are reduced to one colour a face, that of its middle.

    Args:
        title, up_axis, frame: see :class:`TurnableItem`.
        mesh: with at least one face.

    Raises:
        ValueError: for a mesh whose faces or colours are impossible.
    """
    colors = None
    if mesh.has_colors:
        from mm3dpretrain.datasets.mesh_colors import colors_at, surface_colors  # imports numba

        surface = surface_colors(len(mesh.vertices), len(mesh.faces), **mesh.appearance)
        middle = np.full((len(mesh.faces), 3), 1 / 3)
        colors = colors_at(mesh.faces, surface, np.arange(len(mesh.faces)), middle)
        if len(mesh.faces) == len(mesh.vertices):  # would be taken for those of the vertices
            return TurnableItem(
                title,
                mesh.vertices[mesh.faces.reshape(-1)],
                np.repeat(colors, 3, 0),
                np.arange(3 * len(mesh.faces)).reshape(-1, 3),
                up_axis,
                frame,
            )
    return TurnableItem(title, mesh.vertices, colors, mesh.faces, up_axis, frame)


def write_page(
    items: Sequence[TurnableItem],
    path: str | os.PathLike,
    title: str = '',
    max_points: int = 20_000,
    max_faces: int = 50_000,
) -> Path:
    """Write a page that shows objects side by side; dragging turns all of them.

    The page needs no other file and no network: the script and all data are in it, and a content
    policy in its head forbids everything else. It draws with WebGL, or on a plain canvas where
    there is none.

    Args:
        items: the objects, in the order of the page.
        path: HTML file to write.
        title: of the page.
        max_points: of a cloud with more points a random part is shown, and the page says so.
        max_faces: of a mesh with more faces, ``max_points`` points of the surface are shown, and
            the page says so.

    Returns:
        The path.

    Raises:
        ValueError: for no items or limits below 1.
    """
    if not items:
        raise ValueError('a page needs at least one item')
    if max_points < 1 or max_faces < 1:
        raise ValueError(f'limits must be positive, got {max_points} and {max_faces}')
    spheres = _spheres(items)
    records = [
        _record(item, *spheres[item.frame if item.frame is not None else index], max_points,
                max_faces)
        for index, item in enumerate(items)
    ]  # fmt: skip
    # a '<' inside the data could end the script element
    data = json.dumps(dict(items=records)).replace('<', '\\u003c')
    text = PAGE.format(title=html.escape(title), style=STYLE, data=data, script=SCRIPT)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')
    return Path(path)


def _spheres(items: Sequence[TurnableItem]) -> dict:
    """Centre and radius by frame, or by number of the item where it has no frame."""
    groups: dict = {}
    for index, item in enumerate(items):
        groups.setdefault(index if item.frame is None else item.frame, []).append(item.points)
    return {key: bounding_sphere(np.concatenate(points)) for key, points in groups.items()}


def _record(
    item: TurnableItem, center: np.ndarray, radius: float, max_points: int, max_faces: int
) -> dict:
    """What the script reads of one object."""
    points, colors, faces = item.points, item.colors, item.faces
    note = f'{len(points):,} points' if faces is None else f'{len(faces):,} faces'
    if faces is not None and len(faces) > max_faces:
        points, colors = _surface_points(item, max_points)
        note = f'{len(points):,} points of the surface of {len(faces):,} faces'
        faces = None
    elif faces is None and len(points) > max_points:
        keep = np.random.default_rng(0).choice(len(points), max_points, replace=False)
        keep.sort()
        points, colors = points[keep], colors[keep]
        note = f'{max_points:,} of {note}, chosen at random'
    return dict(
        title=item.title,
        note=note,
        up='xyz'.index(item.up_axis),
        center=[float(value) for value in center],
        radius=radius,
        points=_encode(points),
        colors=_encode(colors),
        faces=None if faces is None else _encode(faces),
        # one colour a face; where there are as many vertices as faces, those of the vertices
        by_face=faces is not None and len(colors) != len(points),
        plain=item.plain,
    )


def _surface_points(item: TurnableItem, num: int) -> tuple[np.ndarray, np.ndarray]:
    from mm3dpretrain.datasets.mesh_sampling import sample_mesh

    faces = item.faces.astype(np.int64)
    points, _, index = sample_mesh(item.points, faces, num, np.random.default_rng(0))
    if len(item.colors) == len(item.points):
        return points.astype('<f4'), item.colors[faces[index, 0]]
    return points.astype('<f4'), item.colors[index]


def _encode(values: np.ndarray) -> str:
    """Base64 of the bytes of an array; little-endian, as every browser's arrays are."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode('ascii')


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>Drag turns, the wheel or two fingers zoom, a double click or tap goes back.
<span id="mode"></span></p>
<noscript><p>This page draws with JavaScript, which is switched off here.</p></noscript>
<div id="panels"></div>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""
