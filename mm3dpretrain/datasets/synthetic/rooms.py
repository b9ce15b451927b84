"""SyntheticRooms: furnished rooms as labelled meshes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mm3dpretrain.datasets.synthetic import rooms_pieces as pieces
from mm3dpretrain.datasets.synthetic.deform import Deformation
from mm3dpretrain.datasets.synthetic.lidar import TriangleBVH, meshes_touch
from mm3dpretrain.datasets.synthetic.primitives import Mesh, merge
from mm3dpretrain.datasets.synthetic.rooms_pieces import (
    CATEGORY,
    FLOORS,
    FURNITURE,
    KINDS,
    NYU40,
    WALL_PAINTS,
)
from mm3dpretrain.datasets.synthetic.scene_mesh import (
    Piece,
    SceneBuilder,
    SceneMesh,
    box_between,
    to_z_up,
    yaw,
)
from mm3dpretrain.datasets.synthetic.shapes import SyntheticShapes

# A strong bend or lean would let furniture fall over.
SHAPE_VARIATION = Deformation(stretch=1.1, taper=0.06, bend=0.0, twist=0.0, shear=0.0)
MARGIN = 0.04  # metres between the boxes of neighbours
LIFT = 0.001  # metres between a thing and what it stands on
SUPPORTS = ('table', 'coffee_table', 'desk', 'cabinet', 'nightstand')
WALLS = 4


@dataclass(frozen=True)
class Room:
    """A room; metres, floor at z = 0, the middle of the floor is the origin.

    Attributes:
        kind: a key of :data:`KINDS`.
        size: width (x), depth (y) and height.
        scene: its mesh; the objects are named by class, their labels are NYU40's.
        supports: for each object, the number of the object it stands on, or -1 for the floor or
            the wall.
    """

    kind: str
    size: tuple[float, float, float]
    scene: SceneMesh
    supports: tuple[int, ...]


class RoomBuilder:
    """Furnishes one room.

    Args:
        rng: the room's random numbers.
        shapes_seed: seed of the furniture's shapes.
        kind: a key of :data:`KINDS`, or None for a random one.
    """

    def __init__(
        self, rng: np.random.Generator, shapes_seed: int = 0, kind: str | None = None
    ) -> None:
        self.rng = rng
        self.shapes = SyntheticShapes(shapes_seed, 'none', SHAPE_VARIATION)
        self.kind = kind or str(rng.choice(list(KINDS)))
        small = self.kind == 'bathroom'
        low, high = (2.6, 4.2) if small else (3.6, 6.2)
        self.size = (rng.uniform(low, high), rng.uniform(low, high), rng.uniform(2.45, 2.9))
        self.builder = SceneBuilder()
        # bounds (2, 3) of what stands; None where nothing can be in the way
        self.taken: list[np.ndarray | None] = []
        self.meshes: list[Mesh | None] = []
        self.supports: list[int] = []
        self.names: list[str] = []
        # (wall, first, last, lowest, highest) along the walls
        self.hung: list[tuple[int, float, float, float, float]] = []
        self.keep_free: list[np.ndarray] = []

    # ----------------------------------------------------------------- adding

    def _put(self, name: str, label: str, parts: list[Piece], on: int = -1, solid: bool = True):
        self.builder.add(label, NYU40[label], parts)
        mesh = merge([part.mesh for part in parts])
        bounds = np.stack([mesh.vertices.min(0), mesh.vertices.max(0)])
        self.taken.append(bounds if solid else None)
        self.meshes.append(mesh if solid else None)
        self.supports.append(on)
        self.names.append(name)

    def _shell(self) -> None:
        width, depth, height = self.size
        x, y, t = width / 2, depth / 2, 0.1
        rng = self.rng
        texture, color = FLOORS[int(rng.integers(len(FLOORS)))]
        floor = Piece(box_between((-x, -y, -t), (x, y, 0)), color, texture)
        carpet = []
        if rng.random() < 0.5:
            half = np.array([x, y]) * rng.uniform(0.3, 0.6, 2)
            carpet = pieces.rug(rng, -half, half)
        self._put('floor', 'floor', [floor, *carpet], solid=False)
        self._put(
            'ceiling',
            'ceiling',
            [Piece(box_between((-x, -y, height), (x, y, height + t)), (236, 236, 232), 'grain')],
            solid=False,
        )
        paint = np.array(WALL_PAINTS[int(rng.integers(len(WALL_PAINTS)))], float)
        other = np.array(WALL_PAINTS[int(rng.integers(len(WALL_PAINTS)))], float)
        accent = int(rng.integers(2 * WALLS))  # half of the rooms have one wall of another colour
        base = np.array((230, 228, 222)) * rng.uniform(0.35, 1)
        sheets = (
            ((-x - t, -y - t, 0), (x + t, -y, height)),
            ((x, -y, 0), (x + t, y, height)),
            ((-x - t, y, 0), (x + t, y + t, height)),
            ((-x - t, -y, 0), (-x, y, height)),
        )
        tiled = self.kind == 'bathroom'
        boards = (
            ((-x, -y, 0.012), (x, -y + 0.015, 0.09)),
            ((x - 0.015, -y, 0.012), (x, y, 0.09)),
            ((-x, y - 0.015, 0.012), (x, y, 0.09)),
            ((-x, -y, 0.012), (-x + 0.015, y, 0.09)),
        )
        for wall in range(WALLS):
            color = other if wall == accent else paint
            parts = [Piece(box_between(*sheets[wall]), color, 'tiles' if tiled else 'grain')]
            if not tiled:
                parts.append(Piece(box_between(*boards[wall]), base))
            self._put('wall', 'wall', parts, solid=False)

    # ----------------------------------------------------------------- walls

    def _wall_length(self, wall: int) -> float:
        return self.size[0] if wall % 2 == 0 else self.size[1]

    def _to_wall(self, parts: list[Piece], wall: int, along: float) -> list[Piece]:
        """Parts made against y = 0 moved to a wall: 0 at -y, 1 at +x, 2 at +y, 3 at -x."""
        distance = self.size[1 - wall % 2] / 2
        turned = []
        for part in parts:
            mesh = part.mesh.move(along, -distance, 0)
            turned.append(part._replace(mesh=yaw(mesh, wall * np.pi / 2)))
        return turned

    def _hang(self, width: float, low: float, high: float) -> tuple[int, float] | None:
        """A free stretch of a wall: its number and the position of the middle along it."""
        for _ in range(20):
            wall = int(self.rng.integers(WALLS))
            room = self._wall_length(wall) / 2 - width / 2 - 0.15
            if room <= 0:
                continue
            along = self.rng.uniform(-room, room)
            first, last = along - width / 2 - 0.1, along + width / 2 + 0.1
            if not any(
                w == wall and first < b and last > a and low < top and high > bottom
                for w, a, b, bottom, top in self.hung
            ):
                self.hung.append((wall, first, last, low, high))
                return wall, along
        return None

    def _doors_and_windows(self) -> None:
        rng = self.rng
        for _ in range(int(rng.integers(1, 3))):
            place = self._hang(1.2, 0.0, 2.2)
            if place is None:
                continue
            parts = self._to_wall(pieces.door(rng), *place)
            self._put('door', 'door', parts)
            # nothing stands in front of a door
            zone = self._to_wall(
                [Piece(box_between((-0.6, 0, 0), (0.6, 0.8, 2)), (0, 0, 0))], *place
            )
            corners = zone[0].mesh.vertices
            self.keep_free.append(np.stack([corners.min(0), corners.max(0)]))
        for _ in range(int(rng.integers(0 if self.kind == 'bathroom' else 1, 3))):
            width, height = rng.uniform(0.8, 1.7), rng.uniform(0.9, 1.3)
            drapes = rng.random() < 0.55
            side = rng.uniform(0.25, 0.45) if drapes else 0.0
            sill = rng.uniform(0.85, 1.0)
            place = self._hang(width + 2 * side + 0.2, 0.0 if drapes else sill, sill + height)
            if place is None:
                continue
            parts = pieces.window(rng, width, height, sill)
            self._put('window', 'window', self._to_wall(parts, *place))
            for sign in (-1, 1) if drapes else ():
                cloth = pieces.curtain(rng, side, min(sill + height + 0.15, self.size[2] - 0.05))
                offset = sign * (width / 2 + side / 2 + 0.07)
                parts = self._to_wall(cloth, place[0], place[1] + offset)
                self._put('curtain', 'curtain', parts)
        for _ in range(int(rng.integers(0, 4))):
            width, height = rng.uniform(0.3, 1.0), rng.uniform(0.3, 0.7)
            low = rng.uniform(1.2, 1.5)
            place = self._hang(width, low, low + height)
            if place is not None:
                parts = pieces.picture(rng, width, height, low)
                self._put('picture', 'picture', self._to_wall(parts, *place))

    # ----------------------------------------------------------------- furniture

    def make(self, name: str) -> list[Piece]:
        """A piece of furniture on the origin, front towards +x, scaled to its usual size."""
        rng = self.rng
        if name == 'garbagebin':
            return pieces.garbage_bin(rng)
        shape = self.shapes.generate(CATEGORY.get(name, name), int(rng.integers(2**31)))
        mesh = to_z_up(Mesh(shape.vertices.astype(np.float64), shape.faces.astype(np.int64)))
        size = np.ptp(mesh.vertices, axis=0)
        kind = FURNITURE[name]
        flat = rng.uniform(*kind.length) / size[:2].max()
        upright = rng.uniform(*kind.height) / size[2]
        # a shape keeps something of its own proportions
        flat, upright = flat**0.8 * upright**0.2, flat**0.15 * upright**0.85
        vertices = mesh.vertices * (flat, flat, upright)
        middle = (vertices.min(0) + vertices.max(0)) / 2
        vertices = vertices - (*middle[:2], vertices[:, 2].min() - LIFT)
        soft = name in ('sofa', 'bed', 'chair')
        texture = 'fabric' if soft else 'grain'
        return [Piece(Mesh(vertices, mesh.faces), shape.face_color, texture)]

    def _free(self, parts: list[Piece], touch: tuple[int, ...] = ()) -> bool:
        """Whether parts lie in the room and in nobody's way.

        The bounds must keep apart; those of the objects in ``touch`` may overlap as long as the
        surfaces do not cross.
        """
        mesh = merge([part.mesh for part in parts])
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        inside = np.array(self.size[:2]) / 2 - 0.02
        if np.any(low[:2] < -inside) or np.any(high[:2] > inside) or high[2] > self.size[2] - 0.05:
            return False
        for zone in self.keep_free:
            if np.all(low[:2] < zone[1, :2]) and np.all(high[:2] > zone[0, :2]):
                return False
        for number, bounds in enumerate(self.taken):
            if bounds is None:
                continue
            near = np.all(low < bounds[1] + MARGIN) and np.all(high > bounds[0] - MARGIN)
            if near and (number not in touch or meshes_touch(mesh, self.meshes[number])):
                return False
        return True

    def _label(self, name: str) -> str:
        return FURNITURE[name].label if name in FURNITURE else name

    def _place(self, parts: list[Piece], heading: float, x: float, y: float) -> list[Piece]:
        return [part._replace(mesh=yaw(part.mesh, heading).move(x, y)) for part in parts]

    def _stand_along(self, name: str) -> bool:
        """Put a thing with its back to a wall."""
        parts = self.make(name)
        for _ in range(25):
            wall = int(self.rng.integers(WALLS))
            length = self._wall_length(wall)
            # in the frame of the wall: x along it, y into the room
            local = [part._replace(mesh=yaw(part.mesh, np.pi / 2)) for part in parts]
            mesh = merge([part.mesh for part in local])
            low, high = mesh.vertices.min(0), mesh.vertices.max(0)
            room = length / 2 - (high[0] - low[0]) / 2 - 0.05
            if room <= 0:
                continue
            along = self.rng.uniform(-room, room)
            gap = self.rng.uniform(0.05, 0.12)
            local = [part._replace(mesh=part.mesh.move(0, gap - low[1])) for part in local]
            placed = self._to_wall(local, wall, along)
            if self._free(placed):
                self._put(name, self._label(name), placed)
                return True
        return False

    def _stand_inside(self, name: str) -> bool:
        parts = self.make(name)
        reach = np.array(self.size[:2]) / 2
        spread = 0.45 if name.endswith('table') else 0.9
        for _ in range(25):
            heading = int(self.rng.integers(4)) * np.pi / 2
            heading += self.rng.uniform(-np.pi, np.pi) if self.rng.random() < 0.3 else 0.0
            placed = self._place(parts, heading, *(self.rng.uniform(-1, 1, 2) * reach * spread))
            if self._free(placed):
                self._put(name, self._label(name), placed)
                return True
        return False

    def _sit_at(self, number: int) -> None:
        """Chairs around the table, or in front of the desk, ``number``; maybe partly under it."""
        low, high = self.taken[number][:, :2]
        middle, half = (low + high) / 2, (high - low) / 2
        sides = [0, 1, 2, 3]
        if self.names[number] == 'desk':
            sides = [self._open_side(number)]
        model = self.rng.integers(2**31)
        for side in sides:
            angle = side * np.pi / 2
            out = np.rint([np.cos(angle), np.sin(angle)])
            if self.names[number] == 'table' and self.rng.random() < 0.25:
                continue
            keep, self.rng = self.rng, np.random.default_rng([int(model), 0])
            chair = self.make('chair')  # chairs of one table are alike
            self.rng = keep
            depth = np.ptp(chair[0].mesh.vertices[:, 0])
            reach = float(np.abs(out) @ half)
            for _ in range(6):
                gap = self.rng.uniform(-0.35, 0.2) * depth
                slide = self.rng.uniform(-0.3, 0.3) * (half @ np.abs(out[::-1]))
                spot = middle + out * (reach + depth / 2 + gap) + np.abs(out[::-1]) * slide
                turn = angle + np.pi + self.rng.normal(0, 0.12)
                placed = self._place(chair, turn, *spot)
                if self._free(placed, touch=(number,)):
                    self._put('chair', 'chair', placed)
                    break

    def _open_side(self, number: int) -> int:
        """The side (0 +x, 1 +y, 2 -x, 3 -y) of a thing at a wall that faces the room most."""
        low, high = self.taken[number][:, :2]
        space = np.array(self.size[:2]) / 2
        return int(
            np.argmax(
                [space[0] - high[0], space[1] - high[1], low[0] + space[0], low[1] + space[1]]
            )
        )

    def _lie_on_top(self, name: str) -> bool:
        """Put a small thing on a table, desk or cabinet."""
        holders = [k for k, other in enumerate(self.names) if other in SUPPORTS]
        if not holders:
            return False
        parts = self.make(name)
        for _ in range(14):
            number = int(self.rng.choice(holders))
            low, high = self.taken[number]
            if high[2] > 1.45:
                continue
            turned = self._place(parts, self.rng.uniform(-np.pi, np.pi), 0, 0)
            flat = merge([part.mesh for part in turned]).vertices
            half = (flat.max(0) - flat.min(0))[:2] / 2
            room = (high - low)[:2] / 2 - half - 0.02
            if np.any(room <= 0):
                continue
            spot = ((low + high) / 2)[:2] + self.rng.uniform(-1, 1, 2) * room
            # the whole footprint must lie on one height
            grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 5)] * 2), -1).reshape(-1, 2)
            above = np.column_stack([spot + grid * half, np.full(len(grid), high[2] + 1.0)])
            tree = TriangleBVH(*self.meshes[number])
            drop, face = tree.cast(above, np.tile([0.0, 0.0, -1.0], (len(grid), 1)))
            if np.any(face < 0) or np.ptp(drop) > 0.004:
                continue
            level = high[2] + 1.0 - drop.min()
            placed = [p._replace(mesh=p.mesh.move(*spot, level)) for p in turned]
            if self._free(placed, touch=(number,)):
                self._put(name, self._label(name), placed, on=number)
                return True
        return False

    def build(self) -> Room:
        """Furnish the room."""
        kind, rng = KINDS[self.kind], self.rng
        self._shell()
        self._doors_and_windows()
        for name, low, high in kind.along:
            for _ in range(int(rng.integers(low, high + 1))):
                self._stand_along(name)
        for name, low, high in kind.inside:
            for _ in range(int(rng.integers(low, high + 1))):
                self._stand_inside(name)
                if name == 'table' and self.names[-1] == 'table':
                    self._sit_at(len(self.names) - 1)
        for number in [k for k, name in enumerate(self.names) if name == 'desk']:
            self._sit_at(number)
        for name, low, high in kind.top:
            for _ in range(int(rng.integers(low, high + 1))):
                self._lie_on_top(name)
        return Room(self.kind, self.size, self.builder.finish(), tuple(self.supports))


def make_room(seed: int, index: int, kind: str | None = None) -> Room:
    """The ``index``-th room of a seed; it depends on nothing else.

    Args:
        seed: >= 0.
        index: >= 0.
        kind: a key of :data:`KINDS`; None for a random one.

    Raises:
        ValueError: for a negative seed or index, or an unknown kind.
    """
    if seed < 0 or index < 0:
        raise ValueError(f'seed and index must be >= 0, got {seed} and {index}')
    if kind is not None and kind not in KINDS:
        raise ValueError(f'unknown kind of room {kind!r}; there are {", ".join(KINDS)}')
    return RoomBuilder(np.random.default_rng([seed, index, 0]), seed, kind).build()
