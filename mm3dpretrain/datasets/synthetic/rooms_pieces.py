"""What stands in the rooms: classes with their labels and sizes, and the pieces of the walls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mm3dpretrain.datasets.synthetic.palette import draw_paint
from mm3dpretrain.datasets.synthetic.primitives import Mesh, cylinder, lathe, loft
from mm3dpretrain.datasets.synthetic.scene_mesh import Piece, box_between, to_z_up

# NYU40 labels, as in ScanNet's semantic masks
NYU40 = dict(
    wall=1,
    floor=2,
    cabinet=3,
    bed=4,
    chair=5,
    sofa=6,
    table=7,
    door=8,
    window=9,
    bookshelf=10,
    picture=11,
    desk=14,
    curtain=16,
    ceiling=22,
    bathtub=36,
    otherfurniture=39,
    garbagebin=39,
    otherprop=40,
)

# The detection classes of mmdet3d's ScanNetDataset in its order,
# and the NYU40 labels they stand for. As in ScanNet's benchmark, the last one is all
# 'otherfurniture', whatever its name says: bins, but stools, benches, pianos and lamps too.
BOX_CLASSES = (
    *('cabinet', 'bed', 'chair', 'sofa', 'table', 'door', 'window', 'bookshelf', 'picture'),
    *('counter', 'desk', 'curtain', 'refrigerator', 'showercurtrain', 'toilet', 'sink'),
    *('bathtub', 'garbagebin'),
)
BOX_LABELS = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
# The segmentation classes of mmdet3d's ScanNetSegDataset, and the NYU40 labels they stand for
SEG_CLASSES = ('wall', 'floor', *BOX_CLASSES[:-1], 'otherfurniture')
SEG_LABELS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)


class Furniture(NamedTuple):
    """How a category of SyntheticShapes becomes a piece of furniture.

    Attributes:
        label: class of the room, a key of :data:`NYU40`.
        height: smallest and largest height in metres.
        length: smallest and largest longer side on the ground.
    """

    label: str
    height: tuple[float, float]
    length: tuple[float, float]


FURNITURE = dict(
    chair=Furniture('chair', (0.78, 1.05), (0.45, 0.62)),
    stool=Furniture('otherfurniture', (0.42, 0.7), (0.32, 0.45)),
    bench=Furniture('otherfurniture', (0.42, 0.85), (1.0, 1.5)),
    sofa=Furniture('sofa', (0.7, 0.95), (1.4, 2.2)),
    table=Furniture('table', (0.68, 0.78), (0.9, 1.8)),
    coffee_table=Furniture('table', (0.36, 0.48), (0.7, 1.2)),
    desk=Furniture('desk', (0.72, 1.2), (1.1, 1.6)),
    bed=Furniture('bed', (0.6, 1.1), (1.9, 2.15)),
    bookshelf=Furniture('bookshelf', (1.3, 2.1), (0.7, 1.4)),
    cabinet=Furniture('cabinet', (0.7, 1.6), (0.6, 1.2)),
    nightstand=Furniture('cabinet', (0.42, 0.6), (0.4, 0.55)),
    piano=Furniture('otherfurniture', (1.0, 1.3), (1.35, 1.55)),
    bathtub=Furniture('bathtub', (0.5, 0.65), (1.5, 1.75)),
    floor_lamp=Furniture('otherfurniture', (1.3, 1.7), (0.35, 0.5)),
    guitar=Furniture('otherprop', (0.9, 1.05), (0.3, 0.4)),
    lamp=Furniture('otherprop', (0.35, 0.6), (0.18, 0.32)),
    monitor=Furniture('otherprop', (0.35, 0.5), (0.4, 0.65)),
    laptop=Furniture('otherprop', (0.2, 0.26), (0.3, 0.38)),
    vase=Furniture('otherprop', (0.2, 0.4), (0.1, 0.22)),
    bowl=Furniture('otherprop', (0.08, 0.14), (0.18, 0.3)),
    mug=Furniture('otherprop', (0.09, 0.12), (0.1, 0.14)),
    bottle=Furniture('otherprop', (0.2, 0.32), (0.07, 0.1)),
)
# names above that are a size of another category
CATEGORY = dict(coffee_table='table', nightstand='cabinet', floor_lamp='lamp')


class Kind(NamedTuple):
    """One kind of room: (name, smallest number, largest number) of what it may hold.

    Attributes:
        along: stands with its back to a wall, the biggest first.
        inside: stands free.
        top: lies on tables, desks and cabinets.
    """

    along: tuple[tuple[str, int, int], ...]
    inside: tuple[tuple[str, int, int], ...]
    top: tuple[tuple[str, int, int], ...]


KINDS = dict(
    living=Kind(
        (
            *(('sofa', 1, 2), ('bookshelf', 0, 2), ('cabinet', 1, 2), ('piano', 0, 1)),
            *(('desk', 0, 1), ('floor_lamp', 0, 2), ('guitar', 0, 1)),
        ),
        (('coffee_table', 1, 1), ('chair', 0, 3), ('stool', 0, 1)),
        (('vase', 0, 2), ('bowl', 0, 1), ('mug', 0, 2), ('monitor', 0, 1), ('bottle', 0, 1)),
    ),
    bedroom=Kind(
        (
            *(('bed', 1, 2), ('cabinet', 1, 2), ('nightstand', 0, 2), ('desk', 0, 1)),
            *(('bookshelf', 0, 1), ('floor_lamp', 0, 1), ('bench', 0, 1), ('garbagebin', 0, 1)),
        ),
        (('chair', 0, 2), ('stool', 0, 1)),
        (('lamp', 0, 2), ('laptop', 0, 1), ('vase', 0, 1), ('mug', 0, 1)),
    ),
    office=Kind(
        (
            *(('desk', 2, 3), ('bookshelf', 1, 2), ('cabinet', 0, 2), ('sofa', 0, 1)),
            *(('floor_lamp', 0, 1), ('garbagebin', 1, 2)),
        ),
        (('table', 0, 1), ('chair', 0, 2)),
        (('monitor', 1, 2), ('laptop', 1, 2), ('lamp', 0, 2), ('mug', 0, 2), ('bottle', 0, 1)),
    ),
    dining=Kind(
        (
            *(('cabinet', 1, 2), ('bookshelf', 0, 1), ('sofa', 0, 1), ('bench', 0, 1)),
            *(('floor_lamp', 0, 1), ('garbagebin', 0, 1)),
        ),
        (('table', 1, 2), ('chair', 0, 2), ('stool', 0, 2)),
        (('vase', 0, 2), ('bowl', 1, 3), ('mug', 0, 3), ('bottle', 0, 2)),
    ),
    bathroom=Kind(
        (('bathtub', 1, 1), ('cabinet', 1, 3), ('bench', 0, 1), ('garbagebin', 0, 1)),
        (('stool', 0, 2), ('chair', 0, 1)),
        (('bowl', 0, 1), ('vase', 0, 1), ('bottle', 0, 2)),
    ),
)
WALL_PAINTS = (
    *((226, 222, 212), (214, 206, 190), (196, 208, 214), (204, 214, 196), (224, 204, 186)),
    *((190, 196, 206), (228, 214, 170), (206, 188, 196), (170, 186, 178), (232, 232, 230)),
)
FLOORS = (
    *(('wood', (150, 104, 64)), ('wood', (184, 140, 92)), ('wood', (104, 70, 46))),
    *(('tiles', (196, 190, 180)), ('tiles', (140, 146, 150)), ('tiles', (206, 176, 146))),
    *(('fabric', (150, 144, 132)), ('fabric', (96, 108, 128)), ('fabric', (136, 92, 84))),
)


def _paint(rng: np.random.Generator, *materials: str) -> tuple[int, int, int]:
    return draw_paint(rng, *materials).rgb


def garbage_bin(rng: np.random.Generator) -> list[Piece]:
    """An open bin on the origin."""
    height, radius = rng.uniform(0.28, 0.45), rng.uniform(0.12, 0.17)
    foot = radius * rng.uniform(0.7, 0.9)
    wall = [(foot, 0.0), (radius, height), (radius - 0.012, height), (foot - 0.01, 0.02)]
    return [Piece(to_z_up(lathe(wall, 18)), _paint(rng, 'plastic', 'metal'))]


def rug(rng: np.random.Generator, low, high) -> list[Piece]:
    """A rug between two corners (x, y) on the floor."""
    color = np.array(_paint(rng, 'textile', 'fabric'), dtype=float)
    low, high = np.asarray(low), np.asarray(high)
    edge = 0.12 * (high - low).min()
    outer = box_between((*low, 0.0), (*high, 0.008))
    inner = box_between((*(low + edge), 0.0), (*(high - edge), 0.011))
    return [Piece(outer, color * 0.7, 'fabric'), Piece(inner, color, 'fabric')]


# Pieces of a wall are made against the wall y = 0 of a room that lies at y > 0, centred on x = 0.


def door(rng: np.random.Generator) -> list[Piece]:
    """A closed door with its frame."""
    width, height = rng.uniform(0.8, 1.0), rng.uniform(1.95, 2.1)
    leaf, frame = _paint(rng, 'wood', 'painted wood'), _paint(rng, 'painted wood', 'wood')
    half = width / 2
    pieces = [
        Piece(box_between((-half, 0.001, 0.004), (half, 0.04, height)), leaf, 'grain'),
        Piece(box_between((-half - 0.08, 0.001, 0.001), (-half, 0.06, height + 0.08)), frame),
        Piece(box_between((half, 0.001, 0.001), (half + 0.08, 0.06, height + 0.08)), frame),
        Piece(box_between((-half, 0.001, height), (half, 0.06, height + 0.08)), frame),
    ]
    side = rng.choice([-1, 1]) * (half - 0.09)
    knob = to_z_up(cylinder(0.025, 0.06, axis='x', segments=10)).move(side, 0.07, 1.0)
    pieces.append(Piece(knob, _paint(rng, 'metal', 'brass')))
    if rng.random() < 0.5:
        low, high = (-half + 0.14, 0.03, 1.15), (half - 0.14, 0.05, height - 0.15)
        pieces.append(Piece(box_between(low, high), np.array(leaf) * 0.8, 'grain'))
        low, high = (-half + 0.14, 0.03, 0.15), (half - 0.14, 0.05, 0.95)
        pieces.append(Piece(box_between(low, high), np.array(leaf) * 0.8, 'grain'))
    return pieces


def window(rng: np.random.Generator, width: float, height: float, sill: float) -> list[Piece]:
    """A window: bright panes in a frame, and a sill."""
    frame = _paint(rng, 'painted wood', 'wood')
    half, bar = width / 2, 0.05
    pieces = [
        Piece(box_between((-half, 0.001, sill), (half, 0.02, sill + height)), (198, 220, 236)),
        Piece(box_between((-half - 0.06, 0.001, sill - 0.04), (half + 0.06, 0.1, sill)), frame),
    ]
    for x in np.linspace(-half, half - bar, int(rng.integers(2, 4))):
        pieces.append(Piece(box_between((x, 0.001, sill), (x + bar, 0.05, sill + height)), frame))
    for z in (sill, sill + height - bar):
        pieces.append(Piece(box_between((-half, 0.001, z), (half, 0.05, z + bar)), frame))
    return pieces


def curtain(rng: np.random.Generator, width: float, top: float) -> list[Piece]:
    """A curtain in folds from ``top`` to just above the floor."""
    folds = max(3, int(width / 0.09))
    x = np.linspace(-width / 2, width / 2, 4 * folds + 1)
    depth = rng.uniform(0.025, 0.04)
    y = 0.075 + depth * np.sin(np.arange(len(x)) * np.pi / 2 + rng.uniform(0, 6))
    line = np.column_stack([np.r_[x, x[::-1]], np.r_[y, y[::-1] - 0.012]])
    bottom = rng.uniform(0.03, 0.25)
    sections = np.stack([np.column_stack([line, np.full(len(line), z)]) for z in (bottom, top)])
    mesh = loft(sections)
    # the fans of loft's caps would cover the folds: the walls are enough
    mesh = Mesh(mesh.vertices[: 2 * len(line)], mesh.faces[(mesh.faces < 2 * len(line)).all(1)])
    return [Piece(mesh, _paint(rng, 'textile', 'fabric'), 'fabric')]


def picture(rng: np.random.Generator, width: float, height: float, low: float) -> list[Piece]:
    """A framed picture of coloured patches."""
    frame = _paint(rng, 'wood', 'lacquer', 'brass')
    half = width / 2
    pieces = [Piece(box_between((-half, 0.001, low), (half, 0.03, low + height)), frame)]
    columns, rows = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    xs = np.linspace(-half + 0.04, half - 0.04, columns + 1)
    zs = np.linspace(low + 0.04, low + height - 0.04, rows + 1)
    base = rng.uniform(40, 230, 3)
    for i in range(columns):
        for k in range(rows):
            patch = box_between((xs[i], 0.028, zs[k]), (xs[i + 1], 0.032, zs[k + 1]))
            pieces.append(Piece(patch, np.clip(base + rng.uniform(-70, 70, 3), 0, 255)))
    return pieces
