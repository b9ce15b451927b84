"""What trimesh has read (a mesh, a cloud, a scene of several parts) as one mesh with colours."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .mesh_colors import DEFAULT_COLOR, MAX_UV

# larger textures are shrunk to this side: no picture of a whole object shows more
MAX_TEXTURE = 2048
GLTF_SUFFIXES = ('.glb', '.gltf')
_UNSIGNED_SHORT = 5123  # componentType of glTF


@dataclass
class _Part:
    """One part of a scene; everything in the frame of the scene, colours as in pictures (sRGB)."""

    vertices: np.ndarray
    faces: np.ndarray
    face_colors: np.ndarray | None = None
    vertex_colors: np.ndarray | None = None
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None


@dataclass
class _Clues:
    """What the text of a file says about its textures, which trimesh leaves out in silence.

    Attributes:
        textures: name of each material that has a texture -> what its message shall call it.
        linear: the material colours are linear (glTF) and not as in pictures.
        linear_vertices: the vertex colours are.
        wide_colors: a part without a material has vertex colours of 16 bit, which trimesh cuts.
        warnings: one line for each problem found.
    """

    textures: dict[str, str] = field(default_factory=dict)
    linear: bool = False
    linear_vertices: bool = False
    wide_colors: bool = False
    warnings: list[str] = field(default_factory=list)


def linear_to_srgb(values: np.ndarray) -> np.ndarray:
    """Colour values of light, in [0, 1], as pictures store them (IEC 61966-2-1)."""
    values = np.asarray(values, np.float64)
    power = 1.055 * np.maximum(values, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(values <= 0.0031308, 12.92 * values, power)


def join_scene(loaded, path: str) -> dict:
    """Arrays of the mesh, and warnings, of what trimesh has read from ``path``.

    The parts of a scene are put where its nodes place them; a mirroring node turns the faces, so
    that they keep their outside. Colours follow the file: face colours, or the material's, times
    vertex colours, times texture. In OBJ files a texture or vertex colours replace the colour of
    the material, because many writers leave black or grey there. The colour factors and vertex
    colours of glTF are linear, as its specification says, and are turned to sRGB (but not the
    vertex colours in files of trimesh, which writes them unchanged). Transparency and the sampler
    of textures are not read: textures repeat.

    Args:
        loaded: ``trimesh.Trimesh``, ``PointCloud`` or ``Scene``.
        path: the file, whose text tells of textures that could not be read.

    Returns:
        ``vertices`` (V, 3) float64, ``faces`` (F, 3) int64, ``face_colors`` (F, 3) and
        ``vertex_colors`` (V, 3) uint8 or None, ``uv`` (V, 2) or None, ``textures`` (tuple),
        ``face_texture`` (F,) or None, ``warnings`` (tuple of str).
    """
    suffix = Path(path).suffix.lower()
    clues = _Clues()
    if suffix == '.obj':
        clues = _obj_clues(path)
    elif suffix in GLTF_SUFFIXES:
        clues = _gltf_clues(path)
    parts = [_part(geometry, transform, clues) for geometry, transform in _placed(loaded)]
    return {**_join(parts), 'warnings': tuple(dict.fromkeys(clues.warnings))}


def _placed(loaded) -> list[tuple]:
    """(geometry, 4 x 4 transform) of everything with vertices."""
    if not hasattr(loaded, 'graph'):
        return [(loaded, np.eye(4))]
    found = []
    for node in loaded.graph.nodes_geometry:
        transform, name = loaded.graph[node]
        geometry = loaded.geometry[name]
        # lines have entities; they are neither a surface nor a cloud
        if not hasattr(geometry, 'entities'):
            found.append((geometry, np.asarray(transform, np.float64)))
    return found


def _part(geometry, transform: np.ndarray, clues: _Clues) -> _Part:
    vertices = np.array(geometry.vertices, dtype=np.float64).reshape(-1, 3)
    vertices = vertices @ transform[:3, :3].T + transform[:3, 3]
    raw = getattr(geometry, 'faces', None)
    faces = np.array(raw if raw is not None else np.zeros((0, 3)), dtype=np.int64).reshape(-1, 3)
    if np.linalg.det(transform[:3, :3]) < 0:
        faces = faces[:, ::-1]
    part = _Part(vertices, faces)
    if raw is None:
        part.vertex_colors = _rows(
            getattr(geometry, 'colors', None), len(vertices), clues.linear_vertices
        )
        return part
    visual = geometry.visual
    kind = visual.kind if visual is not None and visual.defined else None
    if kind == 'face':
        part.face_colors = np.array(visual.face_colors[:, :3], np.uint8)
    elif kind == 'vertex' and not clues.wide_colors:
        part.vertex_colors = _rows(visual.vertex_colors, len(vertices), clues.linear_vertices)
    elif kind == 'texture':
        _add_material(part, geometry, clues)
    return part


def _add_material(part: _Part, geometry, clues: _Clues) -> None:
    visual = geometry.visual
    stored = visual.vertex_attributes.get('color')
    if stored is None:
        stored = geometry.vertex_attributes.get('color')
    part.vertex_colors = _rows(stored, len(part.vertices), clues.linear_vertices)
    color, image = _material(visual.material, clues.linear)
    missing = image is None and visual.material.name in clues.textures
    if image is not None and visual.uv is not None and len(visual.uv) == len(part.vertices):
        try:
            part.texture = _texture(image)
        # a truncated or mangled picture; what Pillow raises depends on the format
        except Exception as error:
            name = clues.textures.get(visual.material.name, 'of a material')
            clues.warnings.append(f'texture {name} cannot be read, grey instead ({error})')
            color = DEFAULT_COLOR
        else:
            uv = np.array(visual.uv, np.float64)
            # a corner without a place in the texture gets its origin
            part.uv = np.where(np.abs(uv) < MAX_UV, uv, 0.0)
    elif missing:
        name = clues.textures[visual.material.name]
        clues.warnings.append(f'texture {name} cannot be read, grey instead')
        color = DEFAULT_COLOR
    if not clues.linear and (part.texture is not None or part.vertex_colors is not None):
        color = None  # see join_scene: what is no glTF is an OBJ file
    if color is not None:
        part.face_colors = np.tile(np.uint8(color), (len(part.faces), 1))


def _material(material, linear: bool) -> tuple[tuple | None, object]:
    """Colour (3 integers) or None, and picture or None, of trimesh's material."""
    if hasattr(material, 'baseColorFactor'):
        factor, image = material.baseColorFactor, material.baseColorTexture
    elif hasattr(material, 'image'):
        factor, image = material.diffuse, material.image
        if image is not None and _is_placeholder(image):
            return None, None
    else:
        factor, image = material.main_color, None
    if factor is None:
        return None, image
    factor = np.asarray(factor)[:3] / 255.0
    if linear:
        factor = linear_to_srgb(factor)
    return tuple(np.rint(255 * factor).astype(int).tolist()), image


def _is_placeholder(image) -> bool:
    """Whether it is the 2 x 2 grey picture that trimesh puts where a file names no material."""
    return (
        image.size == (2, 2) and image.mode == 'RGBA' and (np.asarray(image)[..., :3] == 100).all()
    )


def _texture(image) -> np.ndarray:
    """(h, w, 3) uint8 of a Pillow picture, no side longer than MAX_TEXTURE."""
    image = image.convert('RGB')
    image.thumbnail((MAX_TEXTURE, MAX_TEXTURE))
    return np.array(image)


def _rows(colors, count: int, linear: bool) -> np.ndarray | None:
    """(count, 3) uint8 of integers (8 or 16 bit) or floats in [0, 1]; None if they do not fit."""
    if colors is None:
        return None
    colors = np.asarray(colors)
    if colors.ndim != 2 or len(colors) != count or colors.shape[1] < 3 or count == 0:
        return None
    full = np.iinfo(colors.dtype).max if colors.dtype.kind in 'iu' else 1.0
    values = np.clip(np.nan_to_num(colors[:, :3].astype(np.float64) / full), 0, 1)
    return np.rint(255 * (linear_to_srgb(values) if linear else values)).astype(np.uint8)


def _join(parts: list[_Part]) -> dict:
    """Parts behind each other. What only some of them have is white, or grey, in the others."""
    if not parts:
        parts = [_Part(np.zeros((0, 3)), np.zeros((0, 3), np.int64))]
    starts = np.cumsum([0, *(len(p.vertices) for p in parts[:-1])])
    textures: list[np.ndarray] = []
    numbers: dict[int, int] = {}
    face_texture = []
    for part in parts:
        number = -1
        if part.texture is not None:
            key = hash(part.texture.tobytes())
            if key not in numbers:
                numbers[key] = len(textures)
                textures.append(part.texture)
            number = numbers[key]
        face_texture.append(np.full(len(part.faces), number))
    bare = [p.face_colors is None and p.vertex_colors is None and p.texture is None for p in parts]
    face_colors = vertex_colors = uv = None
    if any(p.face_colors is not None for p in parts) or (any(bare) and not all(bare)):
        face_colors = np.concatenate(
            [
                p.face_colors
                if p.face_colors is not None
                else np.tile(np.uint8(DEFAULT_COLOR if grey else (255,) * 3), (len(p.faces), 1))
                for p, grey in zip(parts, bare)
            ]
        )
    if any(p.vertex_colors is not None for p in parts):
        vertex_colors = np.concatenate(
            [
                p.vertex_colors
                if p.vertex_colors is not None
                else np.full((len(p.vertices), 3), 255, np.uint8)
                for p in parts
            ]
        )
    if textures:
        uv = np.concatenate(
            [p.uv if p.uv is not None else np.zeros((len(p.vertices), 2)) for p in parts]
        )
    return dict(
        vertices=np.concatenate([p.vertices for p in parts]),
        faces=np.concatenate([p.faces + start for p, start in zip(parts, starts)]),
        face_colors=face_colors,
        vertex_colors=vertex_colors,
        uv=uv,
        textures=tuple(textures),
        face_texture=np.concatenate(face_texture) if textures else None,
    )


def _obj_clues(path: str) -> _Clues:
    """Textures that the materials of an OBJ file name, and whether there are these materials."""
    clues = _Clues()
    library = None
    with open(path, encoding='utf-8', errors='replace') as file:
        for line in file:
            # trimesh reads the first library only
            if line.startswith('mtllib'):
                library = line[6:].strip()
                break
    if not library:
        return clues
    try:
        text = (Path(path).parent / library).read_text(errors='replace')
    except OSError:
        clues.warnings.append(f'materials {library} cannot be read, grey instead')
        return clues
    material = ''
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0].lower() == 'newmtl':
            material = ' '.join(words[1:])
        elif len(words) > 1 and words[0].lower() == 'map_kd':
            clues.textures[material] = ' '.join(words[1:])
    return clues


def _gltf_clues(path: str) -> _Clues:
    """Textures that the materials of a glTF file name, from its JSON part."""
    clues = _Clues(linear=True)
    with open(path, 'rb') as file:
        if os.path.splitext(path)[1].lower() == '.glb':
            length = struct.unpack('<5I', file.read(20))[3]
            tree = json.loads(file.read(length))
        else:
            tree = json.load(file)
    # trimesh writes the colours of vertices as they are
    clues.linear_vertices = 'trimesh' not in tree.get('asset', {}).get('generator', '')
    for number, material in enumerate(tree.get('materials', [])):
        if 'baseColorTexture' in material.get('pbrMetallicRoughness', {}):
            # the name that trimesh gives to a material without one
            name = material.get('name', 'material_0')
            clues.textures[name] = f'of material {material.get("name", number)!r}'
    for mesh in tree.get('meshes', []):
        for primitive in mesh.get('primitives', []):
            accessor = primitive.get('attributes', {}).get('COLOR_0')
            if accessor is None or 'material' in primitive:
                continue
            if tree['accessors'][accessor].get('componentType') == _UNSIGNED_SHORT:
                clues.wide_colors = True
                clues.warnings.append(
                    'vertex colours of 16 bit on a part without material cannot be read, grey '
                    'instead'
                )
    return clues
