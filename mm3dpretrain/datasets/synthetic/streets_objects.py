"""Things in the streets, on the origin: front towards +x, left +y, up +z, metres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mm3dpretrain.datasets.synthetic.deform import Deformation
from mm3dpretrain.datasets.synthetic.palette import draw_paint
from mm3dpretrain.datasets.synthetic.primitives import (
    Mesh,
    bar,
    cushion,
    cylinder,
    extrude,
    merge,
    sphere,
    torus,
)
from mm3dpretrain.datasets.synthetic.scene_mesh import Piece, box_between, to_z_up
from mm3dpretrain.datasets.synthetic.shapes import SyntheticShapes

# What one laser pulse of the same strength brings back from the parts of a car
CAR_REFLECTANCE = dict(window=0.04, wheel=0.1, light=0.9, bumper=0.25, mirror=0.3, seat=0.25)
CAR_VARIATION = Deformation(stretch=1.08, taper=0.08, bend=0.0, twist=0.0, shear=0.03)


class Size(NamedTuple):
    """Mean and standard deviation of length, width and height in metres."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Random (length, width, height), at most two standard deviations from the mean."""
        return np.array(self.mean) + np.clip(rng.standard_normal(3), -2, 2) * self.std


# near the means of KITTI's training boxes
SIZES = dict(
    Car=Size((3.9, 1.63, 1.52), (0.4, 0.09, 0.1)),
    Van=Size((5.1, 1.9, 2.2), (0.5, 0.12, 0.25)),
    Truck=Size((10.0, 2.6, 3.25), (2.0, 0.15, 0.3)),
    Pedestrian=Size((0.8, 0.62, 1.74), (0.15, 0.08, 0.11)),
    Cyclist=Size((1.76, 0.6, 1.74), (0.1, 0.06, 0.09)),
)
# SemanticKITTI's labels
SEMANTIC = dict(
    Car=10,
    Van=20,
    Truck=18,
    Pedestrian=30,
    Cyclist=31,
    road=40,
    sidewalk=48,
    building=50,
    fence=51,
    marking=60,
    vegetation=70,
    trunk=71,
    terrain=72,
    pole=80,
    sign=81,
)


def _lay(mesh: Mesh) -> Mesh:
    """A side view made in the x-y plane, standing upright: x stays, y becomes z."""
    return Mesh(
        np.column_stack([mesh.vertices[:, [0, 2]] * (1, -1), mesh.vertices[:, 1]]), mesh.faces
    )


def _fit(pieces: list[Piece], size: np.ndarray) -> list[Piece]:
    """Pieces stretched to (length, width, height), centred on the origin, standing on z = 0."""
    vertices = merge([piece.mesh for piece in pieces]).vertices
    low, high = vertices.min(0), vertices.max(0)
    factor = size / (high - low)
    offset = np.array([*((low + high) / 2)[:2], low[2]])
    return [
        piece._replace(mesh=Mesh((piece.mesh.vertices - offset) * factor, piece.mesh.faces))
        for piece in pieces
    ]


def _dark(rng: np.random.Generator, rgb) -> float:
    """Reflectance of paint: bright paint sends more back."""
    return float(np.clip(0.15 + 0.45 * np.mean(rgb) / 255 + rng.normal(0, 0.05), 0.08, 0.75))


def car(rng: np.random.Generator, shapes: SyntheticShapes) -> list[Piece]:
    """A car of SyntheticShapes at the size of a real one."""
    shape = shapes.generate('car', int(rng.integers(2**31)))
    mesh = to_z_up(Mesh(shape.vertices.astype(np.float64), shape.faces.astype(np.int64)))
    parts = []
    for number, name in enumerate(shape.part_names):
        chosen = shape.face_part == number
        if not chosen.any():
            continue
        used, faces = np.unique(mesh.faces[chosen], return_inverse=True)
        color = shape.face_color[chosen]
        reflectance = CAR_REFLECTANCE.get(name) or _dark(rng, color)
        part = Mesh(mesh.vertices[used], faces.reshape(-1, 3))
        parts.append(Piece(part, color, 'flat', reflectance))
    return _fit(parts, SIZES['Car'].draw(rng))


def _wheels(xs, half_width: float, radius: float) -> list[Piece]:
    wheel = to_z_up(cylinder(radius, 0.22, segments=18, axis='x'))
    cap = to_z_up(cylinder(radius * 0.5, 0.24, segments=10, axis='x'))
    pieces = []
    for x in xs:
        for side in (-1, 1):
            place = (x, side * (half_width - 0.13), radius)
            pieces.append(Piece(wheel.move(*place), (34, 34, 36), 'flat', 0.08))
            pieces.append(Piece(cap.move(*place), (150, 152, 156), 'flat', 0.5))
    return pieces


def van(rng: np.random.Generator) -> list[Piece]:
    """A delivery van or a minibus."""
    length, width, height = SIZES['Van'].draw(rng)
    paint = draw_paint(rng, 'lacquer', 'metal').rgb
    half, floor = length / 2, 0.28
    hood = half - rng.uniform(0.25, 0.9)
    hood_height = rng.uniform(0.95, 1.15)
    roof = hood - rng.uniform(0.4, 0.8)
    side = [
        (-half, floor), (half, floor), (half, hood_height - 0.15), (hood, hood_height),
        (roof, height), (-half + 0.06, height), (-half, height - 0.2),
    ]  # fmt: skip
    pieces = [Piece(_lay(extrude(side, width)), paint, 'flat', _dark(rng, paint))]
    glass = (46, 54, 64)
    slope = [(hood - 0.03, hood_height + 0.04), (hood + 0.02, hood_height + 0.04)]
    slope += [(roof + 0.06, height - 0.1), (roof + 0.01, height - 0.1)]
    pieces.append(Piece(_lay(extrude(slope, width * 0.9)), glass, 'flat', 0.04))
    panes = 1 if rng.random() < 0.5 else 3
    for n in range(panes):
        right = roof - 0.05 - n * length * 0.24
        pane = [(right - length * 0.2, 1.2), (right, 1.2), (right - 0.05, height - 0.25)]
        pane += [(right - length * 0.2, height - 0.25)]
        pieces.append(Piece(_lay(extrude(pane, width + 0.02)), glass, 'flat', 0.04))
    back = box_between(
        (-half - 0.01, -width * 0.38, 1.2), (-half + 0.05, width * 0.38, height - 0.3)
    )
    pieces.append(Piece(back, glass, 'flat', 0.04))
    for y in (-1, 1):
        y0, y1 = sorted((y * width * 0.3, y * width * 0.46))
        front = box_between((half - 0.05, y0, 0.62), (half + 0.02, y1, 0.8))
        rear = box_between((-half - 0.02, y0, 0.6), (-half + 0.05, y1, 0.95))
        pieces += [
            Piece(front, (240, 236, 210), 'flat', 0.9),
            Piece(rear, (176, 30, 26), 'flat', 0.9),
        ]
    pieces += _wheels((half - 0.85, -half + 0.9), width / 2, 0.34)
    return _fit(pieces, np.array([length, width, height]))


def truck(rng: np.random.Generator) -> list[Piece]:
    """A lorry: cab, box or tarpaulin, wheels."""
    length, width, height = SIZES['Truck'].draw(rng)
    half, cab = length / 2, rng.uniform(1.7, 2.3)
    paint, load = draw_paint(rng, 'lacquer').rgb, draw_paint(rng, 'lacquer', 'textile').rgb
    top = min(height - 0.1, 2.9)
    side = [(half - cab, 0.6), (half, 0.6), (half, 1.5), (half - 0.2, top), (half - cab, top)]
    pieces = [
        Piece(_lay(extrude(side, width * 0.96)), paint, 'flat', _dark(rng, paint)),
        Piece(
            box_between((-half, -width / 2, 1.05), (half - cab - 0.25, width / 2, height)),
            load,
            'grain',
            _dark(rng, load),
        ),
        Piece(box_between((-half + 0.1, -0.5, 0.6), (half - cab + 0.1, 0.5, 1.06)), (60, 60, 62)),
    ]
    glass = [(half - 0.01, 1.6), (half + 0.03, 1.6), (half - 0.16, top - 0.15)]
    glass += [(half - 0.2, top - 0.15)]
    pieces.append(Piece(_lay(extrude(glass, width * 0.86)), (46, 54, 64), 'flat', 0.04))
    pane = box_between(
        (half - cab + 0.5, -width * 0.485, 1.6), (half - 0.4, width * 0.485, top - 0.3)
    )
    pieces.append(Piece(pane, (46, 54, 64), 'flat', 0.04))
    for y in (-1, 1):
        y0, y1 = sorted((y * width * 0.32, y * width * 0.45))
        front = box_between((half - 0.05, y0, 0.75), (half + 0.02, y1, 0.95))
        rear = box_between((-half - 0.02, y0, 0.85), (-half + 0.05, y1, 1.0))
        pieces += [
            Piece(front, (240, 236, 210), 'flat', 0.9),
            Piece(rear, (176, 30, 26), 'flat', 0.9),
        ]
    axles = [half - 0.9, -half + 1.1] + ([-half + 2.2] if length > 9 else [])
    pieces += _wheels(axles, width / 2, 0.48)
    return _fit(pieces, np.array([length, width, height]))


def _ball(radius, x: float, y: float, z: float, segments: int = 10) -> Mesh:
    return sphere(1.0, segments, 7).scale(*np.broadcast_to(radius, 3)).move(x, y, z)


def _person_colors(rng: np.random.Generator):
    skin = np.array((232, 190, 160)) * rng.uniform(0.4, 1.0)
    hair = np.array((110, 80, 54)) * rng.uniform(0.2, 1.4)
    coat, trousers = draw_paint(rng, 'fabric', 'textile').rgb, draw_paint(rng, 'fabric').rgb
    return skin, hair, coat, np.array(trousers) * 0.7


def pedestrian(rng: np.random.Generator) -> list[Piece]:
    """Somebody who walks or stands."""
    size = SIZES['Pedestrian'].draw(rng)
    skin, hair, coat, trousers = _person_colors(rng)
    cloth, leg = rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.5)
    stride = rng.uniform(0.02, 0.32)
    bend = rng.uniform(0.0, 0.12)
    swing = stride * rng.uniform(0.5, 1.0)
    pieces = []
    for side, step in ((-1, stride), (1, -stride)):
        hip, knee = (0, 0.1 * side, 0.92), (step * 0.5 + bend, 0.1 * side, 0.5)
        foot = (step, 0.1 * side, 0.08)
        pieces.append(Piece(bar(hip, knee, 0.095, 0.07), trousers, 'fabric', leg))
        pieces.append(Piece(bar(knee, foot, 0.07, 0.05), trousers, 'fabric', leg))
        shoe = box_between(np.array(foot) - (0.09, 0.05, 0.08), np.array(foot) + (0.18, 0.05, 0.03))
        pieces.append(Piece(shoe, (40, 36, 34), 'flat', 0.2))
        shoulder, elbow = (0, 0.24 * side, 1.42), (-swing * side * -0.4, 0.29 * side, 1.14)
        hand = (swing * side * 0.8 + 0.06, 0.29 * side, 0.9)
        pieces.append(Piece(bar(shoulder, elbow, 0.06, 0.05), coat, 'fabric', cloth))
        pieces.append(Piece(bar(elbow, hand, 0.05, 0.04), coat, 'fabric', cloth))
        pieces.append(Piece(_ball(0.05, *hand, 8), skin, 'flat', 0.45))
    torso = cushion(0.27, 0.44, 0.68, 0.6, 12).move(0, 0, 1.18)
    pieces.append(Piece(torso, coat, 'fabric', cloth))
    pieces.append(Piece(bar((0, 0, 1.45), (0, 0, 1.58), 0.055), skin, 'flat', 0.45))
    pieces.append(Piece(_ball((0.1, 0.085, 0.125), 0.01, 0, 1.66), skin, 'flat', 0.45))
    pieces.append(Piece(_ball((0.105, 0.095, 0.11), -0.025, 0, 1.7), hair, 'grass', 0.25))
    if rng.random() < 0.3:
        sack = cushion(0.2, 0.32, 0.44, 0.5, 10).move(-0.2, 0, 1.22)
        pieces.append(Piece(sack, draw_paint(rng, 'fabric', 'leather').rgb, 'fabric', 0.3))
    # a real person's width and length follow from the pose: only the height is fitted
    scale = size[2] / 1.81
    vertices = merge([piece.mesh for piece in pieces]).vertices
    return _fit(pieces, np.ptp(vertices, axis=0) * (scale, scale * size[1] / 0.62, scale))


def cyclist(rng: np.random.Generator) -> list[Piece]:
    """Somebody on a bicycle."""
    size = SIZES['Cyclist'].draw(rng)
    skin, hair, coat, trousers = _person_colors(rng)
    metal = draw_paint(rng, 'lacquer', 'metal').rgb
    cloth, leg = rng.uniform(0.25, 0.6), rng.uniform(0.2, 0.5)
    wheel = to_z_up(torus(0.33, 0.022, 22, 6).rotate('z', 90))
    front, rear, crank = (0.53, 0, 0.35), (-0.53, 0, 0.35), (-0.05, 0, 0.32)
    saddle, head = (-0.22, 0, 0.92), (0.38, 0, 0.92)
    pieces = [Piece(wheel.move(*front), (38, 38, 40)), Piece(wheel.move(*rear), (38, 38, 40))]
    for start, end in (
        *((rear, crank), (rear, saddle), (crank, saddle), (crank, head), (saddle, head)),
        *((front, head), ((0.34, -0.26, 1.03), (0.34, 0.26, 1.03)), (head, (0.34, 0, 1.03))),
    ):
        pieces.append(Piece(bar(start, end, 0.022, segments=6), metal, 'flat', 0.4))
    for hub in (front, rear):
        for k in range(6):
            spoke = np.array([np.cos(k * np.pi / 6), 0, np.sin(k * np.pi / 6)]) * 0.32
            line = bar(np.array(hub) - spoke, np.array(hub) + spoke, 0.006, segments=4)
            pieces.append(Piece(line, (170, 172, 176), 'flat', 0.4))
    pieces.append(Piece(cushion(0.24, 0.14, 0.07, 0.6, 10).move(-0.22, 0, 0.95), (30, 30, 30)))
    turn = rng.uniform(0, 2 * np.pi)
    lean = rng.uniform(0.12, 0.3)
    shoulder = np.array([-0.2 + lean, 0, 1.48])
    for side, phase in ((-1, turn), (1, turn + np.pi)):
        pedal = np.array(
            [crank[0] + 0.16 * np.cos(phase), 0.13 * side, crank[2] + 0.16 * np.sin(phase)]
        )
        hip = np.array([-0.22, 0.1 * side, 0.98])
        # knee in front of the middle between hip and pedal
        middle = (hip + pedal) / 2
        reach = max(0.0, 0.44**2 - (np.linalg.norm(hip - pedal) / 2) ** 2) ** 0.5
        knee = middle + np.array([0.85, 0, 0.5]) * reach
        pieces.append(Piece(bar(hip, knee, 0.085, 0.06), trousers, 'fabric', leg))
        pieces.append(Piece(bar(knee, pedal + (0, 0, 0.06), 0.06, 0.045), trousers, 'fabric', leg))
        shoe = box_between(pedal + (-0.1, -0.045, 0), pedal + (0.16, 0.045, 0.09))
        pieces.append(Piece(shoe, (40, 36, 34), 'flat', 0.2))
        arm, hand = shoulder + (0, 0.2 * side, -0.06), np.array([0.33, 0.24 * side, 1.06])
        pieces.append(Piece(bar(arm, hand, 0.055, 0.04), coat, 'fabric', cloth))
        pieces.append(Piece(_ball(0.05, *hand, 8), skin, 'flat', 0.45))
    torso = bar((-0.24, 0, 0.96), shoulder, 0.15, 0.17, 10)
    torso = Mesh(torso.vertices * (1, 1.2, 1), torso.faces)
    pieces.append(Piece(torso, coat, 'fabric', cloth))
    neck = shoulder + (0.05, 0, 0.2)
    pieces.append(Piece(_ball((0.1, 0.085, 0.12), *neck), skin, 'flat', 0.45))
    helmet = rng.random() < 0.5
    color, sheen = (draw_paint(rng, 'plastic').rgb, 0.5) if helmet else (hair, 0.25)
    pieces.append(
        Piece(_ball((0.12, 0.1, 0.1), neck[0] - 0.01, 0, neck[2] + 0.06), color, 'flat', sheen)
    )
    vertices = merge([piece.mesh for piece in pieces]).vertices
    extent = np.ptp(vertices, axis=0)
    return _fit(pieces, np.array([size[0], extent[1] * size[1] / 0.6, size[2]]))


# --------------------------------------------------------------------------- what has no box


def tree(rng: np.random.Generator) -> tuple[list[Piece], list[Piece]]:
    """Trunk and crown of a tree."""
    height, radius = rng.uniform(4.5, 10), rng.uniform(0.1, 0.28)
    stem = rng.uniform(0.3, 0.5) * height
    lean = rng.normal(0, 0.15, 2)
    top = (*(lean * 2), height * 0.8)
    trunk = [Piece(bar((0, 0, -0.2), top, radius, radius * 0.4, 9), (92, 74, 58), 'grass', 0.35)]
    green = np.array((70, 104, 48)) * rng.uniform(0.7, 1.25) + rng.normal(0, 10, 3)
    conifer = rng.random() < 0.25
    crown = []
    for k in range(4 if conifer else int(rng.integers(5, 9))):
        if conifer:
            low = stem * 0.5 + k * (height - stem * 0.5) / 4.4
            cone = to_z_up(cylinder(height * 0.2 * (1 - k * 0.2), height * 0.36, 0.0, 11))
            ball = cone.move(0, 0, low + height * 0.18)
        else:
            size = height * rng.uniform(0.13, 0.22)
            spot = rng.normal(0, 1, 3) * (height * 0.12, height * 0.12, height * 0.09)
            unit = sphere(1.0, 11, 8).vertices
            # bumps, the same for points that coincide
            bump = 1 + 0.16 * np.sin(np.round(unit, 6) @ rng.normal(0, 5, (3, 4))).sum(1) / 2
            ball = Mesh(unit * bump[:, None] * size, sphere(1.0, 11, 8).faces)
            ball = ball.move(*(spot + (lean[0] * 2, lean[1] * 2, max(stem + size, height * 0.72))))
        crown.append(Piece(ball, green * rng.uniform(0.85, 1.15), 'grass', rng.uniform(0.25, 0.5)))
    return trunk, crown


def bush(rng: np.random.Generator, length: float) -> list[Piece]:
    """A hedge along x."""
    width, height = rng.uniform(0.6, 1.2), rng.uniform(0.8, 1.8)
    mesh = to_z_up(cushion(width, height * 1.1, length, 0.35, 14)).move(0, 0, height * 0.5)
    green = np.array((66, 98, 46)) * rng.uniform(0.7, 1.2)
    return [Piece(mesh, green, 'grass', 0.35)]


def fence(rng: np.random.Generator, length: float) -> list[Piece]:
    """A fence of boards, or a low wall, along x."""
    height = rng.uniform(0.9, 1.7)
    if rng.random() < 0.4:
        wall = box_between((-length / 2, -0.12, -0.2), (length / 2, 0.12, height * 0.8))
        return [Piece(wall, (168, 110, 86), 'brick', 0.35)]
    color = draw_paint(rng, 'wood', 'painted wood').rgb
    step = rng.uniform(0.14, 0.3)
    boards = [
        box_between((x, -0.015, 0.06), (x + 0.1, 0.015, height))
        for x in np.arange(-length / 2, length / 2 - 0.1, step)
    ]
    rails = [
        box_between((-length / 2, 0.015, z), (length / 2, 0.05, z + 0.08))
        for z in (height * 0.2, height * 0.75)
    ]
    posts = [
        box_between((x - 0.05, 0.02, -0.2), (x + 0.05, 0.1, height))
        for x in np.linspace(-length / 2 + 0.05, length / 2 - 0.05, max(2, int(length / 2.5)))
    ]
    return [Piece(merge(boards + rails + posts), color, 'grain', 0.35)]


def street_lamp(rng: np.random.Generator) -> list[Piece]:
    """A lamp on a pole; its arm reaches towards +x."""
    height, grey = rng.uniform(5, 8), rng.uniform(90, 150)
    reach = rng.uniform(0.8, 1.8)
    pole = [
        bar((0, 0, -0.2), (0, 0, height), 0.09, 0.05, 10),
        bar((0, 0, height), (reach, 0, height + 0.2), 0.04),
    ]
    head = box_between((reach - 0.1, -0.12, height + 0.12), (reach + 0.5, 0.12, height + 0.26))
    return [
        Piece(merge(pole), (grey, grey, grey * 1.02), 'flat', 0.45),
        Piece(head, (200, 200, 196)),
    ]


def traffic_sign(rng: np.random.Generator) -> tuple[list[Piece], list[Piece]]:
    """Pole and plate of a sign that faces -x."""
    height = rng.uniform(2.3, 3.0)
    pole = [
        Piece(bar((0, 0, -0.2), (0, 0, height), 0.035, segments=8), (150, 152, 154), 'flat', 0.5)
    ]
    kind, radius = int(rng.integers(3)), rng.uniform(0.3, 0.42)
    corners = (4, 20, 3)[kind]
    angle = np.arange(corners) / corners * 2 * np.pi + (np.pi / 4, 0, np.pi / 2)[kind]
    outline = np.stack([np.cos(angle), np.sin(angle)], 1)
    border = ((240, 240, 238), (190, 30, 30), (190, 30, 30))[kind]
    inner = ((34, 80, 160), (240, 240, 238), (240, 240, 238))[kind]
    plates = []
    for size, depth, color in ((1.0, 0.02, border), (0.78, 0.03, inner)):
        plate = to_z_up(extrude(outline * radius * size, depth))
        plates.append(Piece(plate.move(-0.05, 0, height - radius), color, 'flat', 0.95))
    return pole, plates


def building(rng: np.random.Generator, length: float, depth: float, height: float) -> list[Piece]:
    """A house along x, its front at y = 0 and the rest at y < 0."""
    color = np.array(((196, 170, 140), (206, 200, 188), (176, 120, 96), (150, 150, 148),
                      (220, 206, 160), (188, 148, 128))[int(rng.integers(6))])  # fmt: skip
    color = np.clip(color * rng.uniform(0.8, 1.15), 0, 255)
    texture = 'brick' if rng.random() < 0.25 else 'windows'
    body = box_between((-length / 2, -depth, -0.5), (length / 2, 0, height))
    pieces = [Piece(body, color, texture, rng.uniform(0.25, 0.5))]
    base = box_between((-length / 2 - 0.04, -depth, -0.5), (length / 2 + 0.04, 0.05, 0.5))
    pieces.append(Piece(base, color * 0.55, 'grain', 0.3))
    if height < 9 and rng.random() < 0.75:
        rise, over = rng.uniform(1.5, 3.2), 0.35
        gable = [
            (0.0 + over, height - 0.1),
            (-depth / 2, height + rise),
            (-depth - over, height - 0.1),
        ]
        roof = to_z_up(extrude(gable, length + 0.5))
        # made along y with its section in (y, z); extrude's x is y here
        roof = Mesh(roof.vertices, roof.faces)
        pieces.append(Piece(roof, np.array((128, 66, 50)) * rng.uniform(0.6, 1.2), 'brick', 0.3))
    else:
        edge = box_between(
            (-length / 2 - 0.15, -depth - 0.15, height), (length / 2 + 0.15, 0.15, height + 0.3)
        )
        pieces.append(Piece(edge, color * 0.7))
    door = rng.uniform(-length / 2 + 1, length / 2 - 1)
    pieces.append(
        Piece(
            box_between((door - 0.5, 0, 0.1), (door + 0.5, 0.07, 2.2)),
            draw_paint(rng, 'wood', 'lacquer').rgb,
        )
    )
    return pieces
