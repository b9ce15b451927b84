"""Lamp, umbrella."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Builder, Category
from mm3dpretrain.datasets.synthetic.palette import Paint
from mm3dpretrain.datasets.synthetic.primitives import (
    Mesh,
    bar,
    cylinder,
    lathe,
    loft,
    smooth_curve,
    sphere,
    tube,
)


def _shell(profile: np.ndarray, wall: float, segments: int = 24) -> Mesh:
    """Open shade: outer line (K, 2) upwards, inner line back down; a ring without caps."""
    inner = np.stack([np.maximum(profile[:, 0] - wall, 0.005), profile[:, 1]], 1)[::-1]
    line = np.concatenate([profile, inner])
    angle = np.arange(segments) / segments * 2 * np.pi
    sections = np.stack(
        [
            line[:, :1] * np.cos(angle),
            np.broadcast_to(line[:, 1:], (len(line), segments)),
            -line[:, :1] * np.sin(angle),
        ],
        -1,
    )
    return loft(sections, closed=True)


class _Shade(NamedTuple):
    """Shade from y = 0 up to ``height``, or a globe; ``top`` is the radius of the upper opening."""

    mesh: Mesh
    radius: float
    height: float
    top: float
    globe: bool


def _shade(b: Builder, radius: float) -> _Shade:
    """A shade of random form; says which."""
    height = radius * b.uniform(0.7, 1.7)
    form = b.pick('cone', 'drum', 'bell', 'globe')
    b.say(
        {
            'globe': 'a round globe',
            'cone': 'a conical shade',
            'drum': 'a cylindrical shade',
            'bell': 'a bell-shaped shade',
        }[form]
    )
    if form == 'globe':
        return _Shade(sphere(radius, 18, 10).move(y=radius), radius, 2 * radius, 0.0, True)
    top = {'cone': b.uniform(0.25, 0.6), 'drum': 1.0, 'bell': 0.4}[form] * radius
    line = [(radius, 0), (top, height)]
    if form == 'bell':
        line = smooth_curve([(radius, 0), (0.62 * radius, 0.4 * height), (top, height)], 7)
    mesh = _shell(np.array(line), 0.012, b.pick(24, 24, 6))
    return _Shade(mesh, radius, height, top, False)


def _spider(radius: float, y: float) -> list[Mesh]:
    """Crossed wires that hold a shade by its upper rim."""
    ends = [(radius, y, 0), (0, y, radius)]
    return [bar((-x, y, -z), (x, y, z), 0.006, segments=5) for x, y, z in ends]


def _lamp_on_foot(b: Builder, kind: str, metal: Paint, cloth: Paint, light: Paint) -> None:
    shade = _shade(b, b.uniform(0.16, 0.3))
    height = b.uniform(0.3, 0.5) if kind == 'table' else b.uniform(1.0, 1.5)
    foot = b.uniform(0.1, 0.18)
    tripod = kind == 'floor' and b.chance(0.35)
    if tripod:
        for n in range(3):
            t = 2 * np.pi * n / 3
            end = (0.3 * np.cos(t), 0, 0.3 * np.sin(t))
            b.add('base', bar(end, (0, height * 0.75, 0), 0.015), metal)
        b.say('three legs')
    elif kind == 'table' and b.chance(0.5):
        belly = foot * b.uniform(0.8, 1.4)
        line = [(foot, 0), (belly, height * 0.4), (0.03, height * 0.8), (0.02, height)]
        b.add('base', lathe(smooth_curve(line, 10).clip([0.015, 0]), 20), metal)
    else:
        b.add('base', cylinder(foot, 0.035, foot * 0.85, 20).move(y=0.017), metal)
        for y in np.linspace(0.25, 0.75, b.pick(0, 1, 3)) * height:
            b.add('stem', sphere(0.035, 10, 6).move(y=y), metal)
    low, end = (0.72 * height if tripod else 0.02), height + 0.02
    b.add('shade', shade.mesh.move(y=height), light if shade.globe else cloth)
    if not shade.globe:
        end = height + shade.height * 0.94
        b.add('stem', _spider(shade.top, end), metal)
        b.add('bulb', sphere(0.05, 10, 6).move(y=height + 0.5 * shade.height), light)
    b.add('stem', bar((0, low, 0), (0, end, 0), 0.015), metal)


def _desk_lamp(b: Builder, metal: Paint, cloth: Paint, light: Paint) -> None:
    shade = _shade(b, b.uniform(0.1, 0.14))
    b.add('base', cylinder(b.uniform(0.1, 0.15), 0.035, segments=20).move(y=0.017), metal)
    elbow = (0, b.uniform(0.28, 0.42), -b.uniform(0.05, 0.2))
    head = (0, b.uniform(0.38, 0.55), b.uniform(0.12, 0.3))
    if b.chance(0.4):
        path = [(0, 0.02, 0), (0, elbow[1], -0.04), (0, head[1] + 0.06, head[2] * 0.5), head]
        b.add('stem', tube(smooth_curve(path, 16), 0.014), metal)
        b.say('a bent neck')
    else:
        b.add('stem', bar((0, 0.02, 0), elbow, 0.014), metal)
        b.add('stem', bar(elbow, head, 0.014), metal)
        b.add('stem', sphere(0.026, 10, 6).move(*elbow), metal)
        b.say('a jointed arm')
    turn = b.uniform(-50, -10)

    def hang(mesh: Mesh, drop: float) -> Mesh:
        return mesh.move(y=-drop).rotate('x', turn).move(*head)

    b.add('shade', hang(shade.mesh, shade.height), light if shade.globe else cloth)
    if not shade.globe:
        b.add('shade', hang(cylinder(shade.top, 0.014, segments=20), 0.005), cloth)
        b.add('stem', hang(bar((0, -0.5 * shade.height, 0), (0, 0, 0), 0.015), 0.0), metal)
        b.add('bulb', hang(sphere(0.04, 10, 6), 0.6 * shade.height), light)


def _hanging_lamp(b: Builder, metal: Paint, cloth: Paint, light: Paint) -> None:
    arms = b.pick(1, 1, 1, 3, 5)
    shade = _shade(b, b.uniform(0.1, 0.32) if arms == 1 else 0.1)
    drop = b.uniform(0.3, 1.0)
    ceiling = drop + shade.height
    b.add('base', cylinder(0.08, 0.05, 0.06, 16).move(y=ceiling), metal)
    if arms == 1:
        b.add('shade', shade.mesh, light if shade.globe else cloth)
        end = shade.height - 0.02
        if not shade.globe:
            end = 0.6 * shade.height
            b.add('stem', _spider(shade.top, 0.95 * shade.height), metal)
            b.add('bulb', sphere(0.05, 10, 6).move(y=end), light)
        b.add('stem', bar((0, end, 0), (0, ceiling, 0), 0.01), metal)
        return
    b.add('stem', bar((0, 0.0, 0), (0, ceiling, 0), 0.014), metal)
    for n in range(arms):
        t = 2 * np.pi * n / arms
        arm = [(0, 0.05), (0.15, -0.06), (0.32, 0.02), (0.34, 0.1)]
        path = [(x * np.cos(t), y, x * np.sin(t)) for x, y in arm]
        end = path[-1]
        b.add('stem', tube(smooth_curve(path, 10), 0.01, 6), metal)
        if not shade.globe:
            b.add('stem', cylinder(shade.radius, 0.012, segments=16).move(*end), metal)
        b.add('shade', shade.mesh.move(*end), light if shade.globe else cloth)
    b.count(arms, 'arm')


def build_lamp(b: Builder) -> None:
    """Table, floor, desk or hanging lamp with a shade or globe."""
    kind = b.pick('table', 'floor', 'desk', 'hanging')
    metal = b.paint('metal', 'brass', 'wood', 'ceramic')
    cloth, light = b.paint('textile'), b.paint('light')
    b.main = metal
    b.name(f'{kind} lamp')
    if kind == 'desk':
        _desk_lamp(b, metal, cloth, light)
    elif kind == 'hanging':
        _hanging_lamp(b, metal, cloth, light)
    else:
        _lamp_on_foot(b, kind, metal, cloth, light)


def build_umbrella(b: Builder) -> None:
    """Open canopy on a shaft with a hook, knob or foot (parasol)."""
    r, ribs = b.uniform(0.45, 0.8), b.integer(6, 10)
    dome = r * b.uniform(0.28, 0.6)
    shaft = r * b.uniform(1.2, 2.2)
    cloth, metal = b.paint('fabric', 'textile', 'plastic'), b.paint('metal', 'wood')
    second = b.paint('fabric', 'textile') if b.chance(0.3) else cloth
    rings = [(1.0, 0.0), (0.72, 0.48), (0.38, 0.85), (0.03, 1.0)]
    angle = np.arange(2 * ribs) / (2 * ribs) * 2 * np.pi
    sag = np.where(np.arange(2 * ribs) % 2 == 0, 1.0, b.uniform(0.86, 0.97))
    for offset in range(2):
        panels = []
        for n in range(offset, ribs, 2):
            sections = []
            for radius, up in rings:
                arc = []
                for k in (0, 1, 2):
                    t = angle[(2 * n + k) % (2 * ribs)]
                    q = radius * r * (1 + (sag[k % 2] - 1) * radius)
                    arc.append((q * np.cos(t), up * dome, -q * np.sin(t)))
                arc += [(x * 0.99, y - 0.012, z * 0.99) for x, y, z in arc[::-1]]
                sections.append(arc)
            panels.append(loft(np.array(sections)))
        b.add('canopy', panels, (cloth, second)[offset])
    b.add('shaft', bar((0, -shaft, 0), (0, dome + b.uniform(0.03, 0.12), 0), 0.014), metal)
    for t in angle[::2]:
        end = (0.7 * r * np.cos(t), 0.44 * dome, -0.7 * r * np.sin(t))
        b.add('rib', bar((0, -0.25 * dome, 0), end, 0.006, segments=5), metal, optional=0.03)
    end = b.pick('hook', 'knob', 'foot')
    grip = b.paint('wood', 'plastic')
    if end == 'hook':
        size = b.uniform(0.06, 0.1)
        arc = [
            (0, -shaft + 0.15, 0),
            (0, -shaft, 0),
            (size, -shaft - size, 0),
            (2 * size, -shaft, 0),
            (2 * size, -shaft + 0.03, 0),
        ]
        b.add('handle', tube(smooth_curve(arc, 14), 0.022), grip)
        b.say('a hooked handle')
    elif end == 'knob':
        b.add('handle', cylinder(0.028, 0.16, 0.022, 12).move(y=-shaft), grip)
        b.say('a straight handle')
    else:
        b.add('foot', cylinder(b.uniform(0.14, 0.26), 0.07, 0.1, 20).move(y=-shaft), grip)
        b.say('a stand')
    b.count(ribs, 'rib') if ribs < 9 and sum(p[1] == 2 for p in b.pieces) == ribs else None
    b.call('striped' if second.color != cloth.color else 'open')


CATEGORIES = (
    Category('lamp', '90000041', ('base', 'stem', 'shade', 'bulb'), build_lamp),
    Category(
        'umbrella',
        '90000042',
        ('canopy', 'shaft', 'rib', 'handle', 'foot'),
        build_umbrella,
        ('parasol',),
    ),
)
