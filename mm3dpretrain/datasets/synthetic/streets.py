"""SyntheticStreets: a street round a car with sensors on its roof, as a labelled mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mm3dpretrain.datasets.synthetic import streets_objects as things
from mm3dpretrain.datasets.synthetic.primitives import Mesh, merge
from mm3dpretrain.datasets.synthetic.scene_mesh import Piece, SceneBuilder, SceneMesh, yaw
from mm3dpretrain.datasets.synthetic.shapes import SyntheticShapes
from mm3dpretrain.datasets.synthetic.streets_objects import SEMANTIC

SENSOR_HEIGHT = 1.73  # metres of the LiDAR above the ground, as KITTI's
CURB = 0.12  # metres of the pavement above the road
BOXED = ('Car', 'Van', 'Truck', 'Pedestrian', 'Cyclist')
MARGIN = 0.3  # metres between the boxes of neighbours
BEHIND, AHEAD = -35.0, 78.0  # metres: where traffic is


@dataclass(frozen=True)
class StreetObject:
    """The box of one vehicle or person in the LiDAR frame.

    Attributes:
        name: KITTI class.
        index: its number among the scene's objects.
        center: (x, y, z) of the middle of the box's underside, metres.
        size: length, width and height.
        yaw: heading about z in radians, 0 forwards, in [-pi, pi).
    """

    name: str
    index: int
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float

    def contains(self, points: np.ndarray, slack: float = 0.0) -> np.ndarray:
        """Which of the points (N, 3) lie in the box, enlarged by ``slack`` metres all round."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        local = points[:, :3] - np.array(self.center)
        along, across = local[:, 0] * c + local[:, 1] * s, local[:, 1] * c - local[:, 0] * s
        return (
            (np.abs(along) <= self.size[0] / 2 + slack)
            & (np.abs(across) <= self.size[1] / 2 + slack)
            & (local[:, 2] >= -slack)
            & (local[:, 2] <= self.size[2] + slack)
        )


@dataclass(frozen=True)
class Street:
    """A street in the LiDAR frame: x forward, y left, z up, the sensor at the origin; metres.

    Attributes:
        scene: its mesh; labels are SemanticKITTI's.
        objects: all vehicles and persons, seen or not.
    """

    scene: SceneMesh
    objects: tuple[StreetObject, ...]


def _corners(x: float, y: float, length: float, width: float, heading: float) -> np.ndarray:
    c, s = np.cos(heading), np.sin(heading)
    unit = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (length / 2, width / 2)
    return unit @ np.array([[c, s], [-s, c]]) + (x, y)


def rectangles_overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two rectangles (4, 2) share some area: no edge of either one separates them."""
    for one, other in ((first, second), (second, first)):
        for k in (0, 1):
            edge = one[k + 1] - one[k]
            normal = np.array([-edge[1], edge[0]])
            a, b = one @ normal, other @ normal
            if a.max() <= b.min() or b.max() <= a.min():
                return False
    return True


class StreetBuilder:
    """Builds one street.

    Args:
        rng: the street's random numbers.
        shapes_seed: seed of the cars' shapes.
    """

    def __init__(self, rng: np.random.Generator, shapes_seed: int = 0) -> None:
        self.rng = rng
        self.shapes = SyntheticShapes(shapes_seed, 'none', things.CAR_VARIATION)
        self.builder = SceneBuilder()
        self.objects: list[StreetObject] = []
        lane = rng.uniform(2.9, 3.6)
        self.parking = rng.random(2) < 0.65  # right, left
        self.right = -lane / 2 - 2.2 * self.parking[0]
        self.left = 1.5 * lane + 2.2 * self.parking[1]
        self.lane = lane
        self.pavement = rng.uniform(1.8, 3.5)
        self.waves = [
            (rng.uniform(0.02, 0.12), *rng.uniform(-0.09, 0.09, 2), rng.uniform(0, 2 * np.pi))
            for _ in range(4)
        ]
        self.crossing: tuple[float, float] | None = None
        if rng.random() < 0.45:
            start = rng.uniform(14, 45)
            self.crossing = (start, start + rng.uniform(6, 9))
        # the car that carries the sensors
        self.taken: list[np.ndarray] = [_corners(0.3, 0.0, 5.4, 2.2, 0.0)]

    # ----------------------------------------------------------------- ground

    def ground(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Height of the road surface, kerbs left out; -SENSOR_HEIGHT under the sensor."""

        def bumps(x, y):
            return sum(a * np.sin(kx * x + ky * y + p) for a, kx, ky, p in self.waves)

        return bumps(x, y) - bumps(0.0, 0.0) - SENSOR_HEIGHT

    def on_road(self, x: float, y: float) -> bool:
        """Whether the road, its kerbs left out, is there."""
        across = self.crossing is not None and self.crossing[0] <= x <= self.crossing[1]
        return across or self.right <= y <= self.left

    def _add_ground(self) -> None:
        inner = [self.right - self.pavement, self.right, self.left, self.left + self.pavement]
        ys = np.concatenate(
            [
                np.linspace(-70, inner[0], 10),
                np.linspace(inner[0], inner[1], 3)[1:],
                np.linspace(inner[1], inner[2], 5)[1:],
                np.linspace(inner[2], inner[3], 3)[1:],
                np.linspace(inner[3], 70, 10)[1:],
            ]
        )
        xs = np.arange(-70.0, 180.1, 2.5)
        if self.crossing is not None:
            xs = np.sort(
                np.concatenate(
                    [xs[np.abs(xs[:, None] - self.crossing).min(1) > 0.4], self.crossing]
                )
            )
        x_mid, y_mid = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2
        road = (y_mid > self.right) & (y_mid < self.left)
        walk = (y_mid > inner[0]) & (y_mid < inner[3]) & ~road
        kind = np.where(road, 0, np.where(walk, 1, 2))[None].repeat(len(x_mid), 0)
        if self.crossing is not None:
            kind[(x_mid > self.crossing[0]) & (x_mid < self.crossing[1])] = 0
        raised = np.where(kind == 0, 0.0, CURB)

        def corner(i, j, level):
            return np.stack([xs[i], ys[j], self.ground(xs[i], ys[j]) + level], -1)

        def quads(a, b, c, d) -> Mesh:
            count = len(a)
            index = np.arange(count)
            faces = np.stack([index, index + count, index + 2 * count, index + 3 * count], 1)
            faces = np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])
            return Mesh(np.concatenate([a, b, c, d]), faces)

        rng = self.rng
        grey = rng.uniform(84, 124)
        green = np.array((96, 116, 62)) * rng.uniform(0.8, 1.2)
        stone = np.array((164, 160, 152)) * rng.uniform(0.8, 1.1)
        looks = (
            ('road', (grey, grey, grey * 1.02), 'asphalt', 0.18),
            ('sidewalk', stone, 'tiles', 0.3),
            ('terrain', green, 'grass', 0.32),
        )
        # a step up between neighbours of different height is part of the higher one
        steps: dict[int, list[Mesh]] = {1: [], 2: []}
        for di, dj in ((1, 0), (0, 1)):
            first = (slice(None, -1), slice(None)) if di else (slice(None), slice(None, -1))
            second = (slice(1, None), slice(None)) if di else (slice(None), slice(1, None))
            i, j = np.nonzero(raised[first] != raised[second])
            a, b = (i + di, j + dj), (i + 1, j + 1)
            higher = np.maximum(kind[first][i, j], kind[second][i, j])
            for label in (1, 2):
                pick = higher == label
                if pick.any():
                    (ai, aj), (bi, bj) = ((u[pick], v[pick]) for u, v in (a, b))
                    steps[label].append(
                        quads(
                            corner(ai, aj, 0.0),
                            corner(bi, bj, 0.0),
                            corner(bi, bj, CURB),
                            corner(ai, aj, CURB),
                        )
                    )
        for label, (name, color, texture, reflectance) in enumerate(looks):
            i, j = np.nonzero(kind == label)
            if not len(i):
                continue
            level = 0.0 if label == 0 else CURB
            top = quads(
                corner(i, j, level),
                corner(i + 1, j, level),
                corner(i + 1, j + 1, level),
                corner(i, j + 1, level),
            )
            pieces = [Piece(top, color, texture, reflectance)]
            if label and steps[label]:
                pieces.append(Piece(merge(steps[label]), stone * 0.85, 'grain', 0.35))
            self.builder.add(name, SEMANTIC[name], pieces)
        stripes = []
        middle = self.lane / 2
        for x in np.arange(-60.0, 150.0, 9.0):
            if self.crossing and x + 3 > self.crossing[0] - 1 and x < self.crossing[1] + 1:
                continue
            stripes.append(self._stripe(x, x + 3.0, middle))
        for edge in (-self.lane / 2 + 0.05, 1.5 * self.lane - 0.05):
            for x in np.arange(-60.0, 150.0, 2.5):
                if self.crossing and x + 2.5 > self.crossing[0] and x < self.crossing[1]:
                    continue
                stripes.append(self._stripe(x, x + 2.5, edge))
        self.builder.add(
            'marking', SEMANTIC['marking'], [Piece(merge(stripes), (226, 226, 220), 'grain', 0.75)]
        )

    def _stripe(self, start: float, end: float, y: float) -> Mesh:
        x, side = np.array([start, end, end, start]), np.array([-0.07, -0.07, 0.07, 0.07])
        z = self.ground(x, y + side) + 0.012
        return Mesh(np.column_stack([x, y + side, z]), np.array([[0, 1, 2], [0, 2, 3]]))

    # ----------------------------------------------------------------- standing on it

    def _stand(self, pieces: list[Piece], x: float, y: float, heading: float) -> list[Piece]:
        """Pieces turned, moved and laid on the ground, whose slope they follow."""
        level = 0.0 if self.on_road(x, y) else CURB
        placed = []
        for piece in pieces:
            mesh = yaw(piece.mesh, heading).move(x, y)
            height = self.ground(mesh.vertices[:, 0], mesh.vertices[:, 1]) + level
            vertices = mesh.vertices + height[:, None] * (0.0, 0.0, 1.0)
            placed.append(piece._replace(mesh=Mesh(vertices, mesh.faces)))
        return placed

    def _claim(
        self, pieces: list[Piece], x: float, y: float, heading: float, margin: float
    ) -> bool:
        """Reserve the ground under pieces; False if something is there. Crowns of trees and arms
        of lamps may reach over other things."""
        vertices = merge([piece.mesh for piece in pieces]).vertices
        vertices = vertices[vertices[:, 2] < 4.5, :2]
        low, high = vertices.min(0), vertices.max(0)
        c, s = np.cos(heading), np.sin(heading)
        middle = (low + high) / 2 @ np.array([[c, s], [-s, c]]) + (x, y)
        spot = _corners(*middle, *(high - low + margin), heading)
        if any(rectangles_overlap(spot, other) for other in self.taken):
            return False
        self.taken.append(spot)
        return True

    def add(self, name: str, pieces: list[Piece], x: float, y: float, heading: float) -> bool:
        """Put a vehicle or person on a free spot; False if it is not free."""
        if not self._claim(pieces, x, y, heading, MARGIN):
            return False
        heading = float((heading + np.pi) % (2 * np.pi) - np.pi)
        placed = self._stand(pieces, x, y, heading)
        number = self.builder.add(name, SEMANTIC[name], placed, heading)
        vertices = merge([piece.mesh for piece in placed]).vertices
        low, high = vertices[:, 2].min(), vertices[:, 2].max()
        flat = merge([piece.mesh for piece in pieces]).vertices
        length, width = np.ptp(flat[:, 0]), np.ptp(flat[:, 1])
        center = (float(x), float(y), float(low))
        size = (float(length), float(width), float(high - low))
        self.objects.append(StreetObject(name, number, center, size, heading))
        return True

    def add_still(
        self, parts: list[tuple[str, list[Piece]]], x: float, y: float, heading: float
    ) -> bool:
        """Put things without a box, made of parts of several classes, on a free spot."""
        if not self._claim([p for _, part in parts for p in part], x, y, heading, 0.1):
            return False
        level = float(self.ground(np.array(x), np.array(y))) + CURB * (not self.on_road(x, y))
        for name, part in parts:
            placed = [p._replace(mesh=yaw(p.mesh, heading).move(x, y, level)) for p in part]
            self.builder.add(name, SEMANTIC[name], placed, heading)
        return True

    def _off_crossing(self, x: float, reach: float) -> bool:
        return not (self.crossing and self.crossing[0] - reach < x < self.crossing[1] + reach)

    def _vehicle(self) -> tuple[str, list[Piece]]:
        kind = self.rng.choice(3, p=(0.86, 0.1, 0.04))
        if kind == 0:
            return 'Car', things.car(self.rng, self.shapes)
        return ('Van', things.van(self.rng)) if kind == 1 else ('Truck', things.truck(self.rng))

    def _traffic(self) -> None:
        rng = self.rng
        lanes = [(0.0, 0.0, 0.25), (self.lane, np.pi, 0.35)]
        if self.parking[0]:
            lanes.append((self.right + 1.15, 0.0, 0.6))
        if self.parking[1]:
            lanes.append((self.left - 1.15, np.pi, 0.6))
        for y, heading, share in lanes:
            x = BEHIND + rng.uniform(0, 8)
            share = share * rng.uniform(0.3, 1.4)
            while x < AHEAD:
                parked = share > 0.36
                if rng.random() < share and (not parked or self._off_crossing(x, 6)):
                    name, pieces = self._vehicle()
                    if parked and name == 'Truck':
                        name, pieces = 'Car', things.car(rng, self.shapes)
                    turn = heading + rng.normal(0, 0.03) + (rng.random() < 0.1) * np.pi * parked
                    self.add(name, pieces, x, y + rng.normal(0, 0.12), turn)
                x += rng.uniform(5.5, 8) if parked else rng.uniform(7, 16)
        if self.crossing is not None:
            middle = sum(self.crossing) / 2
            for side, heading in ((1.6, np.pi / 2), (-1.6, -np.pi / 2)):
                for _ in range(int(rng.integers(0, 3))):
                    name, pieces = self._vehicle()
                    self.add(
                        name,
                        pieces,
                        middle + side,
                        rng.uniform(-32, 32),
                        heading + rng.normal(0, 0.06),
                    )
        for _ in range(int(rng.integers(0, 4))):
            right = rng.random() < 0.6
            edge = (-self.lane / 2 + 0.45) if right else (1.5 * self.lane - 0.45)
            if rng.random() < 0.3:
                edge = self.right - rng.uniform(0.5, self.pavement - 0.5)
            heading = (0.0 if right else np.pi) + rng.normal(0, 0.1)
            self.add('Cyclist', things.cyclist(rng), rng.uniform(4, 55), edge, heading)
        for _ in range(int(rng.integers(0, 9))):
            x = rng.uniform(3, 50) if rng.random() < 0.85 else rng.uniform(BEHIND, 0)
            if rng.random() < 0.2:  # on the road
                y, heading = rng.uniform(self.right, self.left), rng.choice([-1, 1]) * np.pi / 2
            else:
                depth = rng.uniform(0.4, self.pavement - 0.3)
                y = self.right - depth if rng.random() < 0.5 else self.left + depth
                heading = rng.choice([0.0, np.pi])
            if rng.random() < 0.2:
                heading = rng.uniform(-np.pi, np.pi)
            self.add('Pedestrian', things.pedestrian(rng), x, y, heading + rng.normal(0, 0.2))

    def _edges(self) -> None:
        """Lamps and signs on the pavement; houses, fences, hedges and trees beside it."""
        rng = self.rng
        for side in (-1, 1):
            curb = self.right if side < 0 else self.left
            inwards = -side * np.pi / 2
            for x in np.arange(BEHIND + rng.uniform(0, 20), 120, rng.uniform(18, 32)):
                if self._off_crossing(x, 2):
                    lamp = [('pole', things.street_lamp(rng))]
                    self.add_still(lamp, x, curb + side * 0.4, inwards)
            for _ in range(int(rng.integers(0, 5))):
                x = rng.uniform(5, 70)
                pole, plate = things.traffic_sign(rng)
                heading = rng.normal(0, 0.12) + (np.pi if side > 0 else 0.0)
                if self._off_crossing(x, 1):
                    self.add_still(
                        [('pole', pole), ('sign', plate)], x, curb + side * 0.45, heading
                    )
            town = rng.random() < 0.6
            line = curb + side * (self.pavement + rng.uniform(0.3, 1.0 if town else 4.0))
            x = -60.0 + rng.uniform(0, 8)
            while x < 150:
                length = rng.uniform(7, 18)
                middle = x + length / 2
                clear = self._off_crossing(middle, length / 2 + self.pavement)
                if clear and rng.random() < (0.85 if town else 0.3):
                    height = rng.uniform(5.5, 16) if town else rng.uniform(3.5, 7)
                    house = things.building(rng, length, rng.uniform(8, 12), height)
                    setback = 0.0 if town else rng.uniform(3, 9)
                    # the front of a house looks along +y: turn it towards the street
                    heading = 0.0 if side < 0 else np.pi
                    self.add_still([('building', house)], middle, line + side * setback, heading)
                if clear and not town:
                    kind = rng.random()
                    if kind < 0.3:
                        self.add_still([('fence', things.fence(rng, length))], middle, line, 0.0)
                    elif kind < 0.55:
                        hedge = [('vegetation', things.bush(rng, length))]
                        self.add_still(hedge, middle, line + side * 0.3, 0.0)
                x += length + rng.uniform(0.3, 1.0 if rng.random() < 0.7 else 12.0)
            for _ in range(int(rng.integers(4, 12)) if town else int(rng.integers(10, 26))):
                x = rng.uniform(BEHIND, 140)
                depth = self.pavement * 0.75 if town else self.pavement + rng.uniform(1, 22)
                trunk, crown = things.tree(rng)
                if self._off_crossing(x, 2):
                    parts = [('trunk', trunk), ('vegetation', crown)]
                    self.add_still(parts, x, curb + side * depth, rng.uniform(0, 6))

    def build(self) -> Street:
        """Fill the street."""
        self._add_ground()
        self._traffic()
        self._edges()
        return Street(self.builder.finish(), tuple(self.objects))


def make_street(seed: int, index: int) -> Street:
    """The ``index``-th street of a seed; it depends on nothing else.

    Raises:
        ValueError: for a negative seed or index.
    """
    if seed < 0 or index < 0:
        raise ValueError(f'seed and index must be >= 0, got {seed} and {index}')
    return StreetBuilder(np.random.default_rng([seed, index, 100]), seed).build()
