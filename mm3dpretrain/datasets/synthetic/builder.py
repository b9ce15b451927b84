"""What a category's build function works with: dice, paint, parts and words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mm3dpretrain.datasets.synthetic.palette import Paint, draw_paint
from mm3dpretrain.datasets.synthetic.primitives import (
    Mesh,
    bar,
    beam,
    cylinder,
    lathe,
    merge,
    sphere,
)

NUMBER_WORDS = (
    *('no', 'one', 'two', 'three', 'four', 'five', 'six'),
    *('seven', 'eight', 'nine', 'ten', 'eleven', 'twelve'),
)


class Category(NamedTuple):
    """One class of synthetic shapes.

    Attributes:
        name: class name.
        synset: eight digits, the first a 9: an id of this project, in no other data set.
        parts: names of its parts; a part's position is its label within the class.
        build: fills a :class:`Builder`; front towards +z, +y up, any size.
        synonyms: other nouns for a caption.
        noun: what a caption calls one of it, if not ``name``.
    """

    name: str
    synset: str
    parts: tuple[str, ...]
    build: Callable[[Builder], None]
    synonyms: tuple[str, ...] = ()
    noun: str = ''


class Builder:
    """Collects the parts and the description of one shape.

    Args:
        category: class of the shape.
        rng: the shape's own random numbers.
    """

    def __init__(self, category: Category, rng: np.random.Generator) -> None:
        self.category = category
        self.rng = rng
        self.pieces: list[tuple[Mesh, int, Paint]] = []
        self.features: list[str] = []
        self.adjectives: list[str] = []
        self.main: Paint | None = None
        self.noun = category.noun or category.name

    def uniform(self, low: float, high: float) -> float:
        """A float from [low, high)."""
        return float(self.rng.uniform(low, high))

    def integer(self, low: int, high: int) -> int:
        """An int from [low, high], both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def pick(self, *options):
        """One of the options."""
        return options[int(self.rng.integers(len(options)))]

    def paint(self, *materials: str) -> Paint:
        """A random colour of one of the materials."""
        return draw_paint(self.rng, *materials)

    def add(
        self, part: str, mesh: Mesh | Sequence[Mesh], paint: Paint, optional: float = 0
    ) -> None:
        """Add geometry to a part.

        Args:
            part: one of the category's part names.
            mesh: one or several meshes.
            paint: their colour. The first paint added is the one that captions name, unless
                ``main`` is set.
            optional: probability that it is left out; captions must not mention it then.
        """
        if part not in self.category.parts:
            raise ValueError(f'{self.category.name} has no part {part!r}: {self.category.parts}')
        if self.chance(optional):
            return
        mesh = mesh if isinstance(mesh, Mesh) else merge(mesh)
        self.pieces.append((mesh, self.category.parts.index(part), paint))
        if self.main is None:
            self.main = paint

    def say(self, feature: str) -> None:
        """Note something that stands behind 'with' in a caption ('four legs')."""
        self.features.append(feature)

    def call(self, adjective: str) -> None:
        """Note something that stands in front of the noun ('tall')."""
        self.adjectives.append(adjective)

    def name(self, noun: str) -> None:
        """Set the noun of the captions, the name of the kind ('floor lamp')."""
        self.noun = noun

    def count(self, number: int, singular: str, plural: str | None = None) -> None:
        """Note a number of things."""
        if number < 1:
            return
        word = NUMBER_WORDS[number] if number < len(NUMBER_WORDS) else str(number)
        noun = singular if number == 1 else (plural or singular + 's')
        self.say(f'{word} {noun}')


class Box(NamedTuple):
    """Extent of a seat or a top that legs stand under: width (x), depth (z), underside y."""

    width: float
    depth: float
    y: float


def add_legs(
    b: Builder,
    part: str,
    top: Box,
    paint: Paint,
    styles: Sequence[str] = ('round', 'square', 'tapered', 'three', 'pedestal', 'sled', 'turned'),
    thickness: float = 0.05,
    mention: bool = True,
) -> str:
    """Put legs between the ground (y = 0) and the underside of a top; returns the style."""
    style = b.pick(*styles)
    x, z = top.width / 2 - thickness, top.depth / 2 - thickness
    splay = b.uniform(0, 0.22) * top.y if style in ('round', 'tapered', 'three') else 0.0
    splay *= b.chance(0.6)
    r = thickness * b.uniform(0.35, 0.7)
    corners = [(sx * x, sz * z) for sx in (-1, 1) for sz in (-1, 1)]
    if style == 'three':
        angle = np.array([90, 210, 330]) * np.pi / 180
        corners = list(zip(x * np.cos(angle), z * np.sin(angle)))
    if style == 'pedestal':
        foot = min(x, z) * b.uniform(0.7, 0.95)
        b.add(part, lathe([(r * 1.3, 0.02), (r, top.y)], 12), paint)
        if b.chance(0.5):
            b.add(part, cylinder(foot, 0.03, foot * b.uniform(0.6, 1), 20).move(y=0.015), paint)
        else:
            spokes = b.integer(4, 6)
            turn = np.arange(spokes) * 2 * np.pi / spokes
            b.add(
                part,
                [
                    bar(
                        (0, r * 2.2, 0),
                        (foot * np.cos(t), r * 0.6, foot * np.sin(t)),
                        r * 0.8,
                        r * 0.5,
                    )
                    for t in turn
                ],
                paint,
            )
        if mention:
            b.say('a central column')
        return style
    if style == 'sled':
        for side in (-1, 1):
            frame = [
                (side * x, top.y, z),
                (side * x, r, z),
                (side * x, r, -z),
                (side * x, top.y, -z),
            ]
            b.add(part, [bar(p, q, r) for p, q in zip(frame, frame[1:])], paint)
            b.add(part, [sphere(r, 8, 5).move(*frame[k]) for k in (1, 2)], paint)
        if mention:
            b.say('a sled base')
        return style
    for cx, cz in corners:
        scale = splay / max(float(np.hypot(cx, cz)), 1e-6)
        foot = (cx * (1 + scale), 0.0, cz * (1 + scale))
        head = (cx, top.y, cz)
        if style == 'square':
            b.add(part, beam(foot, head, 1.7 * r, 1.7 * r), paint)
        elif style == 'turned':
            knob = b.uniform(1.3, 1.8) * r
            profile = [
                (r, 0),
                (knob, 0.25 * top.y),
                (r * 0.8, 0.4 * top.y),
                (knob, 0.7 * top.y),
                (r, top.y),
            ]
            b.add(part, lathe(profile, 10).move(cx, 0, cz), paint)
        else:
            b.add(part, bar(foot, head, r * (0.6 if style == 'tapered' else 1), r, 10), paint)
    if mention:
        b.count(len(corners), 'leg')
    if style in ('square', 'round') and top.y > 0.25 and b.chance(0.35):
        y = b.uniform(0.2, 0.6) * top.y
        s = 1 + (1 - y / top.y) * splay / max(float(np.hypot(x, z)), 1e-6)
        rails = [((-x * s, y, sz * z * s), (x * s, y, sz * z * s)) for sz in (-1, 1)]
        rails += [((sx * x * s, y, -z * s), (sx * x * s, y, z * s)) for sx in (-1, 1)]
        b.add(part, [bar(p, q, r * 0.6) for p, q in rails[: b.pick(2, 4)]], paint)
    return style
