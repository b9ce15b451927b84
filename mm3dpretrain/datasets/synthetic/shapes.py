"""The embedded data set: parametric meshes of everyday things, as many as one likes."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import numpy as np

from mm3dpretrain.datasets.mesh_sampling import sample_mesh
from mm3dpretrain.datasets.synthetic import (
    shapes_craft,
    shapes_furniture,
    shapes_lights,
    shapes_objects,
    shapes_screens,
    shapes_seating,
    shapes_vehicles,
    shapes_vessels,
)
from mm3dpretrain.datasets.synthetic.builder import Builder, Category
from mm3dpretrain.datasets.synthetic.captions import describe
from mm3dpretrain.datasets.synthetic.deform import (
    ROTATIONS,
    Deformation,
    deform,
    random_rotation,
    to_unit_sphere,
)
from mm3dpretrain.datasets.synthetic.primitives import Mesh, merge

# Part labels are positions in this list: append, never insert.
CATEGORIES: tuple[Category, ...] = (
    shapes_seating.CATEGORIES
    + shapes_furniture.CATEGORIES
    + shapes_vessels.CATEGORIES
    + shapes_vehicles.CATEGORIES
    + shapes_craft.CATEGORIES
    + shapes_lights.CATEGORIES
    + shapes_objects.CATEGORIES
    + shapes_screens.CATEGORIES
)

# Raise it when a change alters the shapes that a seed gives: folders of older ones are refused.
GENERATOR_VERSION = 1


@dataclass(frozen=True)
class SyntheticShape:
    """One mesh with its labels.

    Frame: +y up; the area-weighted centre of the surface is the origin, the farthest vertex is at
    distance 1.

    Attributes:
        vertices: (V, 3) float32.
        faces: (F, 3) int32, counter-clockwise seen from outside.
        face_color: (F, 3) uint8 RGB.
        face_part: (F,) int16, position in ``part_names``.
        part_names: names of the parts of the category, also of those that this shape lacks.
        part_offset: ``face_part + part_offset`` is unique over all categories.
        category: class name.
        synset: eight digits.
        model_id: unique within the category; names seed and index.
        captions: at least three different sentences.
    """

    vertices: np.ndarray
    faces: np.ndarray
    face_color: np.ndarray
    face_part: np.ndarray
    part_names: tuple[str, ...]
    part_offset: int
    category: str
    synset: str
    model_id: str
    captions: tuple[str, ...]

    @property
    def sample_id(self) -> str:
        """``<synset>-<model_id>``, the name of the shape's files."""
        return f'{self.synset}-{self.model_id}'


@dataclass(frozen=True)
class SyntheticCloud:
    """Points of a shape, in its frame.

    Attributes:
        points: (N, 3) float32.
        normals: (N, 3) float32 unit normals of the faces.
        rgb: (N, 3) uint8.
        part: (N,) int16, unique over all categories.
    """

    points: np.ndarray
    normals: np.ndarray
    rgb: np.ndarray
    part: np.ndarray


class SyntheticShapes:
    """Generator of synthetic shapes.

    A shape depends on ``seed``, its category and its index alone: not on how many others are made,
    in which order, or by how many processes.

    Args:
        seed: of all random choices, >= 0.
        rotation: how the finished shape is turned: 'none' (front towards +z), 'yaw' (random about
            +y) or 'so3' (random in space).
        deformation: strength of the random stretch, taper, twist, bend and shear.

    Raises:
        ValueError: for a negative seed or an unknown rotation.
    """

    def __init__(
        self,
        seed: int = 0,
        rotation: str = 'yaw',
        deformation: Deformation | None = None,
    ) -> None:
        if seed < 0:
            raise ValueError(f'seed must be >= 0, got {seed}')
        if rotation not in ROTATIONS:
            raise ValueError(f'rotation must be one of {ROTATIONS}, got {rotation!r}')
        self.seed = int(seed)
        self.rotation = rotation
        self.deformation = deformation or Deformation()
        self._categories = {c.name: c for c in CATEGORIES}
        self._offsets: dict[str, int] = {}
        offset = 0
        for category in CATEGORIES:
            self._offsets[category.name] = offset
            offset += len(category.parts)

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of all classes."""
        return tuple(self._categories)

    @property
    def part_names(self) -> tuple[str, ...]:
        """'category/part' of every part label that is unique over the categories."""
        return tuple(f'{c.name}/{part}' for c in CATEGORIES for part in c.parts)

    def category(self, name: str) -> Category:
        """The description of a class.

        Raises:
            ValueError: for an unknown name.
        """
        if name not in self._categories:
            raise ValueError(f'unknown category {name!r}; there are {", ".join(self.categories)}')
        return self._categories[name]

    def part_offset(self, name: str) -> int:
        """What to add to the part labels of a class to make them unique over all classes."""
        self.category(name)
        return self._offsets[name]

    def model_id(self, index: int) -> str:
        """Id of a shape within its category."""
        return f's{self.seed}i{index:06d}'

    def rng(self, name: str, index: int, stream: int) -> np.random.Generator:
        """Random numbers of one shape: stream 0 its form, 1 its points, 2 its views."""
        return np.random.default_rng([self.seed, crc32(name.encode()), index, stream])

    def generate(self, category: str, index: int) -> SyntheticShape:
        """Build one shape.

        Args:
            category: one of :attr:`categories`.
            index: number of the shape, >= 0, without upper limit.

        Raises:
            ValueError: for an unknown category or a negative index.
        """
        kind = self.category(category)
        if index < 0:
            raise ValueError(f'index must be >= 0, got {index}')
        rng = self.rng(category, index, 0)
        builder = Builder(kind, rng)
        kind.build(builder)
        captions = describe(builder)
        pieces = builder.pieces
        counts = [len(mesh.faces) for mesh, _, _ in pieces]
        part = np.repeat([p for _, p, _ in pieces], counts)
        color = np.repeat([paint.rgb for _, _, paint in pieces], counts, axis=0)
        mesh, origin = deform(merge([m for m, _, _ in pieces]), rng, self.deformation)
        mesh = Mesh(mesh.vertices @ random_rotation(rng, self.rotation).T, mesh.faces)
        mesh = to_unit_sphere(mesh)
        return SyntheticShape(
            vertices=mesh.vertices.astype(np.float32),
            faces=mesh.faces.astype(np.int32),
            face_color=color[origin].astype(np.uint8),
            face_part=part[origin].astype(np.int16),
            part_names=kind.parts,
            part_offset=self._offsets[category],
            category=category,
            synset=kind.synset,
            model_id=self.model_id(index),
            captions=tuple(captions),
        )

    def sample(
        self, shape: SyntheticShape, index: int, num: int = 8192, jitter: float = 0.0
    ) -> SyntheticCloud:
        """Draw points from a shape.

        Args:
            shape: what :meth:`generate` made for ``index``.
            index: number of the shape; together with the seed it determines the points.
            num: number of points, at least 1.
            jitter: standard deviation of Gaussian noise on the positions, unit of the shape.

        Raises:
            ValueError: for ``num < 1`` or ``jitter < 0``.
        """
        if jitter < 0:
            raise ValueError(f'jitter must be >= 0, got {jitter}')
        rng = self.rng(shape.category, index, 1)
        points, normals, face = sample_mesh(shape.vertices, shape.faces, num, rng)
        if jitter > 0:
            points = points + (jitter * rng.standard_normal(points.shape)).astype(np.float32)
        part = shape.face_part[face] + np.int16(shape.part_offset)
        return SyntheticCloud(points, normals, shape.face_color[face], part)
