"""Mesh readers, and points sampled from meshes with a cache beside the training."""

from __future__ import annotations

import hashlib
import os
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


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh, or a bare cloud where there are no faces.

    Args:
        vertices: (V, 3) float32, in the unit and frame of the file.
        faces: (F, 3) int64.
        face_colors: (F, 3) uint8 or None.
        vertex_colors: (V, 3) uint8 or None.
    """

    vertices: np.ndarray
    faces: np.ndarray
    face_colors: np.ndarray | None = None
    vertex_colors: np.ndarray | None = None


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

    Returns:
        The mesh, without colours.

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
    if not content.startswith(b'OFF'):
        raise SampleError(f'{path}: not an OFF file, it starts with {content[:12]!r}')
    tokens = content[3:].split()
    try:
        num_vertices, num_faces = int(tokens[0]), int(tokens[1])
    except (ValueError, IndexError):
        raise SampleError(f'{path}: no vertex and face counts behind OFF: {tokens[:3]}') from None
    if num_vertices < 1 or num_faces < 0:
        raise SampleError(f'{path}: {num_vertices} vertices and {num_faces} faces announced')
    body = tokens[3:]
    if len(body) < 3 * num_vertices:
        raise SampleError(
            f'{path}: truncated, the header announces {num_vertices} vertices, '
            f'the file ends after {len(body) // 3}'
        )
    try:
        vertices = np.array(body[: 3 * num_vertices], dtype=np.float32).reshape(-1, 3)
    except ValueError as error:
        raise SampleError(f'{path}: a vertex is not numeric ({error})') from None
    faces = _off_faces(body[3 * num_vertices :], num_faces, content, num_vertices, path)
    check_mesh(vertices, faces, path)
    return Mesh(vertices, faces)


def _off_faces(
    tokens: list[bytes], num_faces: int, content: bytes, num_vertices: int, path: str
) -> np.ndarray:
    """(F, 3) int64 from the face block. Triangles without colours take the fast way."""
    if num_faces == 0:
        return np.zeros((0, 3), np.int64)
    if len(tokens) == 4 * num_faces:
        try:
            table = np.array(tokens, dtype=np.int64).reshape(num_faces, 4)
        except ValueError as error:
            raise SampleError(f'{path}: a face is not numeric ({error})') from None
        if (table[:, 0] == 3).all():
            return table[:, 1:]
    # polygons, or colours behind the indices: the line end is what closes a face
    lines = [line.split() for line in content.splitlines() if line.strip()]
    face_lines = lines[-num_faces:] if len(lines) > num_faces else []
    triangles: list[tuple[int, int, int]] = []
    position, read = 0, 0
    try:
        if face_lines and sum(map(len, face_lines)) == len(tokens):
            for line in face_lines:
                corners = _corners(line)
                triangles += [(corners[0], *pair) for pair in zip(corners[1:], corners[2:])]
                read += 1
        else:  # free layout: faces carry no colours then
            while read < num_faces:
                corners = _corners(tokens[position : position + 1 + int(tokens[position])])
                triangles += [(corners[0], *pair) for pair in zip(corners[1:], corners[2:])]
                position += 1 + len(corners)
                read += 1
    except IndexError:
        raise SampleError(
            f'{path}: truncated, the header announces {num_faces} faces, '
            f'the file ends in number {read + 1}'
        ) from None
    except ValueError as error:
        raise SampleError(f'{path}: face {read} is not numeric ({error})') from None
    return np.array(triangles, dtype=np.int64).reshape(-1, 3)


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
    the scene.

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
        loaded = trimesh.load(path, process=False)
        if isinstance(loaded, trimesh.Scene):
            loaded = loaded.to_mesh() if hasattr(loaded, 'to_mesh') else loaded.dump(True)
        vertices = np.array(loaded.vertices, dtype=np.float32)
        faces = np.array(getattr(loaded, 'faces', np.zeros((0, 3))), dtype=np.int64)
        face_colors, vertex_colors = _trimesh_colors(loaded)
    # trimesh's parsers let through whatever their text or struct handling raises
    except Exception as error:
        raise SampleError(
            f'{path}: cannot read the mesh ({type(error).__name__}: {error})'
        ) from error
    if vertices.ndim != 2 or len(vertices) == 0:
        raise SampleError(f'{path}: an empty cloud, the file has no vertices')
    faces = faces.reshape(-1, 3)
    check_mesh(vertices, faces, path)
    return Mesh(vertices, faces, face_colors, vertex_colors)


def _trimesh_colors(loaded) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Face and vertex colours (.., 3) uint8 of a trimesh object, None where it has none."""
    visual = getattr(loaded, 'visual', None)
    if getattr(loaded, 'faces', None) is None:
        colors = getattr(loaded, 'colors', None)
        ok = colors is not None and len(colors) == len(loaded.vertices)
        return None, np.array(colors[:, :3], np.uint8) if ok else None
    if visual is None or not visual.defined:
        return None, None
    if visual.kind == 'texture':
        visual = visual.to_color()
    if visual.kind == 'vertex':
        return None, np.array(visual.vertex_colors[:, :3], np.uint8)
    return np.array(visual.face_colors[:, :3], np.uint8), None


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
    if len(mesh.faces) == 0:
        cloud = {'points': mesh.vertices}
        if mesh.vertex_colors is not None:
            cloud['rgb'] = mesh.vertex_colors
        return cloud
    from .mesh_sampling import sample_mesh

    try:
        points, normals, face_index = sample_mesh(
            mesh.vertices, mesh.faces, num_points, np.random.default_rng(seed)
        )
    except ValueError as error:
        raise SampleError(f'{path}: cannot sample the mesh ({error})') from error
    cloud = {'points': points.astype(np.float32), 'normal': normals.astype(np.float32)}
    if mesh.face_colors is not None:
        cloud['rgb'] = mesh.face_colors[face_index]
    elif mesh.vertex_colors is not None:
        # the mean of the corners: at cloud resolution this equals interpolating inside the face
        corners = mesh.vertex_colors[mesh.faces[face_index]].astype(np.float32)
        cloud['rgb'] = np.round(corners.mean(axis=1)).astype(np.uint8)
    return check_mesh_cloud(cloud, path)


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
