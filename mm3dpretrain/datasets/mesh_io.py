"""Mesh readers, and points sampled from meshes with a cache beside the training."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from .io import (
    ARRAY_SUFFIXES,
    READ_ERRORS,
    TEXT_SUFFIXES,
    SampleError,
    atomic_path,
    check_cloud,
    read_npy,
    read_text_points,
)

# read by trimesh; .off is read here, because ModelNet has files that others stumble over
TRIMESH_SUFFIXES = ('.obj', '.ply', '.stl', '.glb', '.gltf')
MESH_SUFFIXES = ('.off', *TRIMESH_SUFFIXES)
POINT_SUFFIXES = (*ARRAY_SUFFIXES, *TEXT_SUFFIXES)
# of faces without a colour beside others that have one: DEFAULT_COLOR of mesh_colors, which would
# bring the compiler with it
_GREY = np.array((178, 178, 184), np.uint8)


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh, or a bare cloud where there are no faces.

    The colour of the surface is the product of those of its colours that there are, see
    :func:`~mm3dpretrain.datasets.mesh_colors.surface_colors`.

    Args:
        vertices: (V, 3) float64 of files, float32 of packed sets; in the unit and frame of the
            source.
        faces: (F, 3) int64.
        face_colors: (F, 3) uint8 or None.
        vertex_colors: (V, 3) uint8 or None.
        uv: (V, 2) float64 or None, (0, 0) is the lower left corner of a texture.
        textures: pictures (h, w, 3) uint8.
        face_texture: (F,) int64 number of each face's texture, -1 for none; None without textures.
        warnings: one line for everything that could not be read and was replaced.
    """

    vertices: np.ndarray
    faces: np.ndarray
    face_colors: np.ndarray | None = None
    vertex_colors: np.ndarray | None = None
    uv: np.ndarray | None = None
    textures: tuple[np.ndarray, ...] = ()
    face_texture: np.ndarray | None = None
    warnings: tuple[str, ...] = ()

    @property
    def has_colors(self) -> bool:
        return not (self.face_colors is None and self.vertex_colors is None and not self.textures)

    @property
    def appearance(self) -> dict:
        """The colours, as ``render_mesh`` and ``surface_colors`` take them."""
        return dict(
            face_colors=self.face_colors,
            vertex_colors=self.vertex_colors,
            uv=self.uv,
            textures=self.textures,
            face_texture=self.face_texture,
        )


def check_mesh(vertices: np.ndarray, faces: np.ndarray, source: str) -> None:
    """Raise :class:`SampleError` unless vertices are finite and faces point at them."""
    check_cloud(vertices, source)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        bad = int(np.flatnonzero(((faces < 0) | (faces >= len(vertices))).any(axis=1))[0])
        raise SampleError(
            f'{source}: face {bad} has the vertex indices {faces[bad].tolist()}, but there are '
            f'{len(vertices)} vertices (0 to {len(vertices) - 1})'
        )


def read_off(path: str | os.PathLike) -> Mesh:
    """Read an ASCII OFF file; polygons become fans of triangles.

    Some files of ModelNet40 have the counts on the first line, right behind the magic word
    (``OFF490 518 0``); they are read too.

    Colours of faces, behind their indices, and of vertices (``COFF``: ``x y z r g b a``) are read,
    as integers up to 255 or fractions; numbers of a colour table are not.

    Raises:
        SampleError: for a missing file, no OFF header, fewer vertices or faces than announced,
            text that is no number, indices out of range, NaN or infinite coordinates.
    """
    path = os.fspath(path)
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError as error:
        raise SampleError(f'{path}: cannot read the file ({error})') from error
    if b'#' in content:
        content = b'\n'.join(line.split(b'#', 1)[0] for line in content.splitlines())
    content = content.lstrip()
    colored = content.startswith(b'COFF')
    if not colored and not content.startswith(b'OFF'):
        raise SampleError(f'{path}: not an OFF file, it starts with {content[:12]!r}')
    mesh = None if colored else _plain_off(content[3:])
    if mesh is not None:
        check_mesh(*mesh, path)
        return Mesh(*mesh)
    tokens = content[3 + colored :].split()
    try:
        num_vertices, num_faces = int(tokens[0]), int(tokens[1])
    except (ValueError, IndexError):
        raise SampleError(f'{path}: no vertex and face counts behind OFF: {tokens[:3]}') from None
    if num_vertices < 1 or num_faces < 0:
        raise SampleError(f'{path}: {num_vertices} vertices and {num_faces} faces announced')
    body = tokens[3:]
    width = _coff_width(content) if colored else 3
    if len(body) < width * num_vertices:
        raise SampleError(
            f'{path}: truncated, the header announces {num_vertices} vertices, '
            f'the file ends after {len(body) // width}'
        )
    rows = body[: width * num_vertices]
    try:
        table = np.array(rows, dtype=np.float64).reshape(-1, width)
    except ValueError as error:
        raise SampleError(f'{path}: a vertex is not numeric ({error})') from None
    faces, face_colors = _off_faces(body[len(rows) :], num_faces, content, path)
    check_mesh(table[:, :3], faces, path)
    vertex_colors = None
    if colored and np.isfinite(table).all():
        whole = all(token.isdigit() for token in rows[3:width])
        vertex_colors = _to_bytes(table[:, 3:6], whole)
    return Mesh(np.ascontiguousarray(table[:, :3]), faces, face_colors, vertex_colors)


def _coff_width(content: bytes) -> int:
    """Columns of the vertices of a COFF file: 6 without, 7 with an alpha value."""
    lines = [line.split() for line in content[4:].splitlines() if line.strip()]
    return 6 if len(lines) > 1 and len(lines[1]) == 6 else 7


def _to_bytes(colors: np.ndarray, whole: bool) -> np.ndarray:
    """Colours as uint8, from whole numbers up to 255 or fractions."""
    return np.rint(np.clip(colors * (1 if whole else 255), 0, 255)).astype(np.uint8)


def _plain_off(text: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """Vertices and faces of a file of triangles without colours; None for anything else.

    All numbers at once, without an object for each of them: a file of millions of faces needs a
    tenth of the time and the memory.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        try:
            numbers = np.fromstring(text, dtype=np.float64, sep=' ')
        except (ValueError, DeprecationWarning):  # what is no number is reported by the caller
            return None
    if len(numbers) < 3 or not np.isfinite(numbers[:2]).all():
        return None
    with np.errstate(invalid='ignore'):
        num_vertices, num_faces = numbers[:2].astype(np.int64)
    if (
        (numbers[:2] != (num_vertices, num_faces)).any()
        or num_vertices < 1
        or num_faces < 1
        or len(numbers) != 3 + 3 * num_vertices + 4 * num_faces
    ):
        return None
    faces = numbers[3 + 3 * num_vertices :].reshape(-1, 4)
    whole = np.isfinite(faces).all() and (faces == np.floor(faces)).all()
    if not whole or (faces[:, 0] != 3).any():
        return None
    vertices = numbers[3 : 3 + 3 * num_vertices].reshape(-1, 3).copy()
    return vertices, faces[:, 1:].astype(np.int64)


def _off_faces(
    tokens: list[bytes], num_faces: int, content: bytes, path: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """(F, 3) int64 and (F, 3) uint8 or None of the face block."""
    # polygons, or colours behind the indices: the line end is what closes a face
    lines = [line.split() for line in content.splitlines() if line.strip()]
    face_lines = lines[-num_faces:] if num_faces and len(lines) > num_faces else []
    in_lines = bool(face_lines) and sum(map(len, face_lines)) == len(tokens)
    triangles: list[tuple[int, int, int]] = []
    colors: list[np.ndarray | None] = []
    position, read = 0, 0
    try:
        while read < num_faces:
            # in a free layout faces carry no colours
            free = slice(position, position + 1 + int(tokens[position]))
            line = face_lines[read] if in_lines else tokens[free]
            corners = _corners(line)
            fan = [(corners[0], *pair) for pair in zip(corners[1:], corners[2:])]
            triangles += fan
            if in_lines:
                colors += [_off_color(line[1 + len(corners) :])] * len(fan)
            position += len(line)
            read += 1
    except IndexError:
        raise SampleError(
            f'{path}: truncated, the header announces {num_faces} faces, '
            f'the file ends in number {read + 1}'
        ) from None
    except ValueError as error:
        raise SampleError(f'{path}: face {read} is not numeric ({error})') from None
    faces = np.array(triangles, dtype=np.int64).reshape(-1, 3)
    if all(color is None for color in colors):
        return faces, None
    return faces, np.stack([_GREY if color is None else color for color in colors])


def _off_color(tokens: list[bytes]) -> np.ndarray | None:
    if len(tokens) not in (3, 4):
        return None
    whole = all(token.isdigit() for token in tokens)
    return _to_bytes(np.array(tokens[:3], np.float64), whole)


def _corners(tokens: list[bytes]) -> list[int]:
    count = int(tokens[0])
    if count < 1:
        raise ValueError(f'a face of {count} corners')
    if len(tokens) < 1 + count:
        raise IndexError
    return [int(token) for token in tokens[1 : 1 + count]]


def read_mesh(path: str | os.PathLike) -> Mesh:
    """Read a mesh or a cloud file by its suffix: OFF, OBJ, PLY, STL, GLB.

    All but OFF are read by trimesh; the parts of a scene are joined into one mesh in the frame of
    the scene, with their colours (:func:`~mm3dpretrain.datasets.mesh_scene.join_scene`). A
    texture that cannot be read becomes grey, with a line in ``Mesh.warnings``.

    Raises:
        SampleError: if the file is missing, broken or of an unknown kind.
        ImportError: if trimesh is needed and not installed.
    """
    path = os.fspath(path)
    suffix = Path(path).suffix.lower()
    if suffix == '.off':
        return read_off(path)
    if suffix not in TRIMESH_SUFFIXES:
        raise SampleError(f'{path}: unknown suffix {suffix!r}, meshes are {MESH_SUFFIXES}')
    try:
        import trimesh
    except ImportError as error:
        raise ImportError(f'reading {path} needs trimesh: pip install trimesh') from error
    if not os.path.isfile(path):
        raise SampleError(f'{path}: the file does not exist')
    try:
        from .mesh_scene import join_scene

        arrays = join_scene(trimesh.load(path, process=False), path)
    # trimesh's parsers let through whatever their text or struct handling raises
    except Exception as error:
        raise SampleError(
            f'{path}: cannot read the mesh ({type(error).__name__}: {error})'
        ) from error
    if len(arrays['vertices']) == 0:
        raise SampleError(f'{path}: an empty cloud, the file has no vertices')
    check_mesh(arrays['vertices'], arrays['faces'], path)
    return Mesh(**arrays)


def stable_seed(text: str) -> int:
    """A seed in [0, 2**32) that depends on the text alone, on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], 'little')


def sample_mesh_file(path: str | os.PathLike, num_points: int, seed: int) -> dict[str, np.ndarray]:
    """Points, normals and colours of a mesh file, uniform in the area.

    A file without faces is a cloud and is returned as it is.

    Args:
        path: see :func:`read_mesh`.
        num_points: how many points to draw from the surface.
        seed: of the draw.

    Returns:
        ``points`` (N, 3) float32; for meshes ``normal`` (N, 3) float32; with colours in the file
        ``rgb`` (N, 3) uint8.

    Raises:
        SampleError: if the file is broken or the mesh has no area.
    """
    path = os.fspath(path)
    mesh = read_mesh(path)
    for line in mesh.warnings:
        print_log(f'{path}: {line}', 'current', logging.WARNING)
    if len(mesh.faces) == 0:
        cloud = {'points': mesh.vertices.astype(np.float32)}
        if mesh.vertex_colors is not None:
            cloud['rgb'] = mesh.vertex_colors
        return cloud
    try:
        cloud = sample_colored(mesh, num_points, np.random.default_rng(seed))
    except ValueError as error:
        raise SampleError(f'{path}: cannot sample the mesh ({error})') from error
    if not mesh.has_colors:
        del cloud['rgb']
    return check_mesh_cloud(cloud, path)


def sample_colored(mesh: Mesh, num_points: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Points of the surface, uniform in the area, with the normal and colour at their place.

    Returns:
        ``points`` (N, 3) float32, ``normal`` (N, 3) float32, ``rgb`` (N, 3) uint8, light grey for
        a mesh without colours.

    Raises:
        ValueError: for a mesh that :func:`~mm3dpretrain.datasets.mesh_sampling.sample_mesh`
            refuses, or impossible colours.
    """
    # numba comes with it, which those who only read clouds need not wait for
    from .mesh_colors import colors_at, surface_colors
    from .mesh_sampling import sample_surface

    samples = sample_surface(mesh.vertices, mesh.faces, num_points, rng)
    colors = surface_colors(len(mesh.vertices), len(mesh.faces), **mesh.appearance)
    rgb = colors_at(mesh.faces, colors, samples.face_index, samples.bary)
    return {'points': samples.points, 'normal': samples.normals, 'rgb': rgb}


def check_mesh_cloud(cloud: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Check the points of ``cloud`` with :func:`~mm3dpretrain.datasets.io.check_cloud`."""
    cloud['points'] = check_cloud(cloud['points'], source)
    return cloud


def read_cloud(
    path: str | os.PathLike,
    num_points: int = 8192,
    seed: int = 0,
    cache_dir: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Read the points of any supported file, meshes by sampling their surface.

    Args:
        path: ``.npy``, ``.npz``, text or mesh file.
        num_points: how many points to draw from a mesh; clouds are returned whole.
        seed: of that draw.
        cache_dir: where the result of a mesh or text file is kept as ``.npz``. The name of the
            cache file depends on path, size and time of the source, so that a changed file is
            read again.

    Returns:
        ``points`` (N, C >= 3) float32 and, where the file has them, ``normal`` (N, 3) and ``rgb``
        (N, 3) uint8.

    Raises:
        SampleError: if the file is broken.
    """
    path = os.fspath(path)
    suffix = Path(path).suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        return {'points': check_cloud(read_npy(path), path)}
    if suffix not in TEXT_SUFFIXES and suffix not in MESH_SUFFIXES:
        raise SampleError(
            f'{path}: unknown suffix {suffix!r}, clouds are {POINT_SUFFIXES}, '
            f'meshes {MESH_SUFFIXES}'
        )
    cache = _cache_file(path, num_points, seed, cache_dir)
    if cache is not None and cache.is_file():
        try:
            with np.load(cache, allow_pickle=False) as arrays:
                return {key: arrays[key] for key in arrays.files}
        except READ_ERRORS as error:
            print_log(f'{cache}: broken cache file, made again ({error})', 'current')
    if suffix in TEXT_SUFFIXES:
        cloud = {'points': read_text_points(path)}
    else:
        cloud = sample_mesh_file(path, num_points, seed)
    if cache is not None:
        try:
            with atomic_path(cache) as temporary:
                np.savez(temporary, **cloud)
        except OSError as error:
            # a full or read-only disk costs speed, not the training
            print_log(f'cannot write the cache {cache} ({error}); set cache_dir', 'current')
    return cloud


def _cache_file(
    path: str, num_points: int, seed: int, cache_dir: str | os.PathLike | None
) -> Path | None:
    if cache_dir is None:
        return None
    try:
        status = os.stat(path)
    except OSError as error:
        raise SampleError(f'{path}: cannot read the file ({error})') from error
    identity = f'{os.path.abspath(path)}|{status.st_size}|{status.st_mtime_ns}|{num_points}|{seed}'
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Path(cache_dir) / digest[:2] / f'{Path(path).stem}-{digest}.npz'
