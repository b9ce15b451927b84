"""Views of the meshes of a packed set, rendered once into one file by several processes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import print_log

from .caching import rows_writer
from .io import SampleError, read_npy
from .mesh_io import Mesh, check_mesh
from .view_files import write_cameras

# Cameras of the views. An orbit for every elevation (degrees), evenly spread in azimuth; at this
# distance and field of view (degrees) the unit sphere fills most of the picture.
DEFAULT_VIEWS = dict(
    num_views=12,
    image_size=64,
    elevations=(10.0, 40.0),
    distance=2.8,
    fov=45.0,
    supersample=2,
    background=(255, 255, 255),
)
# part of a cache's name: count it up when the same parameters give other pictures
RENDER_VERSION = 1
CHUNK = 8  # meshes that a process takes at once


def complete_views(views: dict | None) -> dict | None:
    """``DEFAULT_VIEWS`` overwritten by ``views``; None stays None.

    Raises:
        ValueError: for an unknown entry, or views that do not spread evenly over the elevations.
    """
    if views is None:
        return None
    unknown = set(views) - set(DEFAULT_VIEWS)
    if unknown:
        raise ValueError(f'unknown views entries {sorted(unknown)}, known: {[*DEFAULT_VIEWS]}')
    spec = {**DEFAULT_VIEWS, **views}
    count, orbits = spec['num_views'], len(spec['elevations'])
    if orbits == 0 or count < orbits or count % orbits:
        raise ValueError(f'num_views={count} must be a multiple of the {orbits} elevations')
    return spec


def view_cameras(
    num_views: int, image_size: int, elevations: Sequence[float], distance: float, fov: float
):
    """Cameras on one circle for each elevation, +y up, turned against each other.

    Args:
        num_views: of all circles together.
        image_size: side of the square picture in pixels.
        elevations: degrees above the horizontal plane.
        distance: from the origin, in the unit of the mesh (unit sphere).
        fov: angle of view in degrees.

    Returns:
        :class:`~mm3dpretrain.structures.Cameras` with B = 1 and ``num_views`` views.
    """
    from .view_settings import build_views

    views = dict(
        type='OrbitViews',
        num_views=num_views,
        elevation=list(elevations),
        distance=distance,
        fov=fov,
    )
    return build_views(views, (image_size, image_size))()


class PackedMeshes:
    """Meshes of one ``.npz``: all vertices and faces behind each other, and where each begins.

    Args:
        path: with ``verts`` (V, 3) integers times ``scale``, ``faces`` (F, 3) that count from 0 in
            each mesh, ``vert_offset`` and ``face_offset`` (n + 1); maybe ``face_color_index`` (F,)
            into ``palette`` (K, 3) uint8.

    Raises:
        SampleError: if the file is broken or lacks an array.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = os.fspath(path)
        keys = ('verts', 'faces', 'vert_offset', 'face_offset', 'scale')
        self._arrays = {key: read_npy(path, key) for key in keys}
        with np.load(path, allow_pickle=False) as arrays:
            self.has_colors = 'palette' in arrays.files
        if self.has_colors:
            for key in ('face_color_index', 'palette'):
                self._arrays[key] = read_npy(path, key)

    def __len__(self) -> int:
        return len(self._arrays['vert_offset']) - 1

    def __getitem__(self, index: int) -> Mesh:
        a, source = self._arrays, f'{self.path}[{index}]'
        rows = slice(*a['vert_offset'][index : index + 2])
        vertices = a['verts'][rows].astype(np.float32) * np.float32(a['scale'])
        rows = slice(*a['face_offset'][index : index + 2])
        faces = a['faces'][rows].astype(np.int64)
        check_mesh(vertices, faces, source)
        colors = None
        if self.has_colors:
            colors = a['palette'][a['face_color_index'][rows]]
        return Mesh(vertices, faces, colors)


class Progress:
    """Logs how far a long job is, every few seconds."""

    def __init__(self, name: str, total: int, interval: float = 10.0) -> None:
        self.name, self.total, self.interval = name, total, interval
        self.start = self.last = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self.last < self.interval:
            return
        self.last = now
        left = (now - self.start) / done * (self.total - done)
        print_log(f'{self.name}: {done} of {self.total}, {left:.0f} s left', logger='current')


_worker: Callable[[Sequence[tuple[int, int]]], int] | None = None


def _start_worker(mesh_file: str, out_file: str, spec: dict) -> None:
    """Open what a rendering process needs, once."""
    global _worker
    # the parent alone answers Ctrl-C; one thread each keeps the processes out of each other's way
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _worker = _renderer(mesh_file, out_file, spec)


def _run_worker(chunk: Sequence[tuple[int, int]]) -> int:
    return _worker(chunk)


def _renderer(
    mesh_file: str, out_file: str, spec: dict
) -> Callable[[Sequence[tuple[int, int]]], int]:
    """A function that renders meshes ``number`` into rows ``row`` of the output file."""
    from ..visualization.shading import render_mesh

    meshes = PackedMeshes(mesh_file)
    out = np.load(out_file, mmap_mode='r+')
    cameras = view_cameras(**{k: spec[k] for k in _CAMERA_KEYS})

    def render(chunk: Sequence[tuple[int, int]]) -> int:
        for row, number in chunk:
            mesh = meshes[number]
            try:
                views = render_mesh(
                    mesh.vertices,
                    mesh.faces,
                    cameras,
                    face_colors=mesh.face_colors,
                    background=tuple(spec['background']),
                    supersample=spec['supersample'],
                )
            except ValueError as error:
                raise SampleError(f'{mesh_file}[{number}]: cannot render it ({error})') from error
            out[row] = views.rgb
        out.flush()
        return len(chunk)

    return render


_CAMERA_KEYS = ('num_views', 'image_size', 'elevations', 'distance', 'fov')


def render_views(
    folder: str | os.PathLike,
    mesh_file: str | os.PathLike,
    numbers: Sequence[int],
    spec: dict,
    num_workers: int = 2,
    name: str = 'views',
) -> None:
    """Render meshes into ``views.npy`` (n, V, H, W, 3) uint8, with ``cameras.npz`` for all.

    Args:
        folder: where both files go.
        mesh_file: see :class:`PackedMeshes`.
        numbers: which meshes; the i-th becomes row i.
        spec: see ``DEFAULT_VIEWS``.
        num_workers: processes; 1 renders in this one.
        name: what the progress messages call it.

    Raises:
        SampleError: if a mesh is broken or cannot be rendered.
    """
    folder, mesh_file = Path(folder), os.fspath(mesh_file)
    cameras = view_cameras(**{k: spec[k] for k in _CAMERA_KEYS})
    write_cameras(folder / 'cameras.npz', cameras)
    (folder / 'views.json').write_text(json.dumps(spec) + '\n')
    out_file = str(folder / 'views.npy')
    with rows_writer(out_file, (len(numbers), cameras.num_views, *cameras.image_size, 3), np.uint8):
        pass
    jobs = list(enumerate(int(number) for number in numbers))
    chunks = [jobs[i : i + CHUNK] for i in range(0, len(jobs), CHUNK)]
    progress = Progress(f'{name}: rendering {cameras.num_views} views of each shape', len(jobs))
    if num_workers < 2 or len(chunks) < 2:
        render, done = _renderer(mesh_file, out_file, spec), 0
        for chunk in chunks:
            done += render(chunk)
            progress(done)
        return
    # fork starts at once and asks no main-guard of the caller's script
    method = 'fork' if 'fork' in get_all_start_methods() else 'spawn'
    pool = ProcessPoolExecutor(
        num_workers, get_context(method), _start_worker, (mesh_file, out_file, spec)
    )
    try:
        done = 0
        for future in as_completed([pool.submit(_run_worker, chunk) for chunk in chunks]):
            done += future.result()
            progress(done)
    finally:
        pool.shutdown(cancel_futures=True)
