"""Scenes as one coloured triangle mesh whose faces know their object."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from mm3dpretrain.datasets.synthetic.primitives import Mesh, merge

# How a surface varies with the position on it; scene_render._texture knows the patterns.
TEXTURES = ('flat', 'grain', 'asphalt', 'grass', 'wood', 'brick', 'tiles', 'windows', 'fabric')


def to_z_up(mesh: Mesh) -> Mesh:
    """A mesh with +y up and its front towards +z, turned: +z up, front towards +x, left +y."""
    return Mesh(mesh.vertices[:, [2, 0, 1]], mesh.faces)


def yaw(mesh: Mesh, radians: float) -> Mesh:
    """The mesh turned about the z axis, right-handed."""
    c, s = np.cos(radians), np.sin(radians)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Mesh(mesh.vertices @ turn.T, mesh.faces)


def box_between(low, high) -> Mesh:
    """The box between two opposite corners (x, y, z)."""
    from mm3dpretrain.datasets.synthetic.primitives import box

    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    return box(*(high - low)).move(*((low + high) / 2))


class Piece(NamedTuple):
    """One part of an object.

    Attributes:
        mesh: its surface.
        color: RGB in [0, 255], (3,) or one for each face (F, 3).
        texture: one of :data:`TEXTURES`.
        reflectance: share of a laser pulse that comes back at normal incidence, in [0, 1].
    """

    mesh: Mesh
    color: np.ndarray | tuple
    texture: str = 'flat'
    reflectance: float = 0.4


@dataclass
class SceneObject:
    """One thing of a scene.

    Attributes:
        name: class name.
        semantic: label of its points.
        first_face: its faces are ``first_face`` to ``last_face - 1`` of the scene.
        last_face: see ``first_face``.
        yaw: heading about z in radians.
    """

    name: str
    semantic: int
    first_face: int
    last_face: int
    yaw: float = 0.0


@dataclass(frozen=True)
class SceneMesh:
    """A finished scene, metres, +z up.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int64.
        color: (F, 3) float64 RGB in [0, 255].
        texture: (F,) uint8, position in :data:`TEXTURES`.
        reflectance: (F,) float64 in [0, 1].
        face_object: (F,) int32, position in ``objects``.
        objects: the things that the faces belong to.
    """

    vertices: np.ndarray
    faces: np.ndarray
    color: np.ndarray
    texture: np.ndarray
    reflectance: np.ndarray
    face_object: np.ndarray
    objects: tuple[SceneObject, ...]

    def object_mesh(self, index: int) -> Mesh:
        """The mesh of one object alone."""
        thing = self.objects[index]
        used, faces = np.unique(self.faces[thing.first_face : thing.last_face], return_inverse=True)
        return Mesh(self.vertices[used], faces.reshape(-1, 3))

    def bounds(self, index: int) -> np.ndarray:
        """Lowest and highest corner (2, 3) of one object."""
        thing = self.objects[index]
        corners = self.vertices[self.faces[thing.first_face : thing.last_face].ravel()]
        return np.stack([corners.min(0), corners.max(0)])


@dataclass
class SceneBuilder:
    """Collects objects; :meth:`finish` makes one mesh of them."""

    pieces: list[tuple[Piece, int]] = field(default_factory=list)
    objects: list[SceneObject] = field(default_factory=list)
    num_faces: int = 0

    def add(self, name: str, semantic: int, pieces: list[Piece], heading: float = 0.0) -> int:
        """Add an object.

        Args:
            name: class name.
            semantic: label of its points.
            pieces: its parts in the scene's frame.
            heading: yaw in radians, kept with the object.

        Returns:
            Its number.
        """
        number, first = len(self.objects), self.num_faces
        for piece in pieces:
            self.pieces.append((piece, number))
            self.num_faces += len(piece.mesh.faces)
        self.objects.append(SceneObject(name, semantic, first, self.num_faces, heading))
        return number

    def finish(self) -> SceneMesh:
        """The scene so far.

        Raises:
            ValueError: if there is nothing in it.
        """
        if not self.pieces:
            raise ValueError('the scene is empty: add an object first')
        mesh = merge([piece.mesh for piece, _ in self.pieces])
        counts = [len(piece.mesh.faces) for piece, _ in self.pieces]
        color = np.concatenate(
            [
                np.broadcast_to(np.asarray(piece.color, np.float64), (count, 3))
                for (piece, _), count in zip(self.pieces, counts)
            ]
        )
        texture = [TEXTURES.index(piece.texture) for piece, _ in self.pieces]
        return SceneMesh(
            vertices=mesh.vertices,
            faces=np.ascontiguousarray(mesh.faces, np.int64),
            color=np.clip(color, 0, 255),
            texture=np.repeat(np.array(texture, np.uint8), counts),
            reflectance=np.repeat([float(p.reflectance) for p, _ in self.pieces], counts),
            face_object=np.repeat(np.array([k for _, k in self.pieces], np.int32), counts),
            objects=tuple(self.objects),
        )
