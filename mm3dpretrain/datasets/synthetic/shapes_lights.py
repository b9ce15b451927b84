"""Lamp, umbrella."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Builder, Category
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


def build_lamp(b: Builder) -> None:
    """Table, floor, desk or hanging lamp with a shade or globe."""
    kind = b.pick('table', 'floor', 'desk', 'hanging')
    metal = b.paint('metal', 'brass', 'wood', 'ceramic')
    cloth, light = b.paint('textile'), b.paint('light')
    r = {'table': b.uniform(0.16, 0.3), 'floor': b.uniform(0.16, 0.28)}.get(
        kind, b.uniform(0.1, 0.32)
    )
    tall = r * b.uniform(0.7, 1.7)
    form = b.pick('cone', 'drum', 'bell', 'globe')
    if form == 'globe':
        shade = sphere(r, 18, 10).move(y=r)
        tall = 2 * r
    else:
        top = {'cone': b.uniform(0.25, 0.6), 'drum': 1.0, 'bell': 0.4}[form] * r
        line = (
            [(r, 0), (top, tall)]
            if form != 'bell'
            else smooth_curve([(r, 0), (0.62 * r, 0.4 * tall), (top, tall)], 7)
        )
        shade = _shell(np.array(line), 0.012, b.pick(24, 24, 6))
    if kind in ('table', 'floor'):
        height = b.uniform(0.3, 0.5) if kind == 'table' else b.uniform(1.0, 1.5)
        foot = b.uniform(0.1, 0.18)
        if kind == 'floor' and b.chance(0.35):
            for n in range(3):
                t = 2 * np.pi * n / 3
                b.add(
                    'base',
                    bar((0.3 * np.cos(t), 0, 0.3 * np.sin(t)), (0, height * 0.75, 0), 0.015),
                    metal,
                )
            b.say('three legs')
            b.add('stem', bar((0, height * 0.72, 0), (0, height + 0.05, 0), 0.015), metal)
        elif kind == 'table' and b.chance(0.5):
            line = smooth_curve(
                [
                    (foot, 0),
                    (foot * b.uniform(0.8, 1.4), height * 0.4),
                    (0.03, height * 0.8),
                    (0.02, height + 0.05),
                ],
                10,
            )
            b.add('base', lathe(line.clip([0.015, 0]), 20), metal)
        else:
            b.add('base', cylinder(foot, 0.035, foot * 0.85, 20).move(y=0.017), metal)
            b.add('stem', bar((0, 0.02, 0), (0, height + 0.05, 0), 0.015), metal)
            for y in np.linspace(0.25, 0.75, b.pick(0, 1, 3)) * height:
                b.add('stem', sphere(0.035, 10, 6).move(y=y), metal)
        b.add('shade', shade.move(y=height), light if form == 'globe' else cloth)
        if form != 'globe':
            b.add('bulb', sphere(0.045, 10, 6).move(y=height + 0.09), light)
            b.add(
                'stem',
                bar((-r * 0.6, height + 0.04, 0), (r * 0.6, height + 0.04, 0), 0.006, segments=5),
                metal,
            )
            b.add(
                'stem',
                bar((0, height + 0.04, -r * 0.6), (0, height + 0.04, r * 0.6), 0.006, segments=5),
                metal,
            )
    elif kind == 'desk':
        b.add('base', cylinder(b.uniform(0.1, 0.15), 0.035, segments=20).move(y=0.017), metal)
        elbow = (0, b.uniform(0.28, 0.42), -b.uniform(0.05, 0.2))
        head = (0, b.uniform(0.38, 0.55), b.uniform(0.12, 0.3))
        if b.chance(0.4):
            path = smooth_curve(
                [(0, 0.02, 0), (0, elbow[1], -0.04), (0, head[1] + 0.06, head[2] * 0.5), head], 16
            )
            b.add('stem', tube(path, 0.014), metal)
            b.say('a bent neck')
        else:
            b.add('stem', bar((0, 0.02, 0), elbow, 0.014), metal)
            b.add('stem', bar(elbow, head, 0.014), metal)
            b.add('stem', sphere(0.026, 10, 6).move(*elbow), metal)
            b.say('a jointed arm')
        scale = 0.12 / r
        shade = Mesh(shade.vertices * scale, shade.faces)
        turn = b.uniform(-50, -10)
        b.add('shade', shade.move(y=-tall * scale).rotate('x', turn).move(*head), cloth)
        b.add(
            'bulb',
            sphere(0.04, 10, 6).move(y=-0.6 * tall * scale).rotate('x', turn).move(*head),
            light,
        )
    else:
        drop = b.uniform(0.3, 1.0)
        arms = b.pick(1, 1, 1, 3, 5)
        b.add('base', cylinder(0.08, 0.05, 0.06, 16).move(y=drop + tall), metal)
        if arms == 1:
            b.add('stem', bar((0, tall - 0.02, 0), (0, drop + tall, 0), 0.01), metal)
            b.add(
                'stem',
                bar((-r * 0.95, tall - 0.02, 0), (r * 0.95, tall - 0.02, 0), 0.008, segments=5)
                if form == 'drum'
                else sphere(0.03, 8, 5).move(y=tall),
                metal,
            )
            b.add('shade', shade, light if form == 'globe' else cloth)
            if form != 'globe':
                b.add('bulb', sphere(0.05, 10, 6).move(y=0.6 * tall), light)
                b.add('stem', bar((0, 0.6 * tall, 0), (0, tall, 0), 0.015), metal)
        else:
            b.add('stem', bar((0, 0.0, 0), (0, drop + tall, 0), 0.014), metal)
            small = Mesh(shade.vertices * 0.1 / r, shade.faces)
            for n in range(arms):
                t = 2 * np.pi * n / arms
                c, s = np.cos(t), np.sin(t)
                path = smooth_curve(
                    [
                        (0, 0.05, 0),
                        (0.15 * c, -0.06, 0.15 * s),
                        (0.32 * c, 0.02, 0.32 * s),
                        (0.34 * c, 0.1, 0.34 * s),
                    ],
                    10,
                )
                b.add('stem', tube(path, 0.01, 6), metal)
                b.add(
                    'shade',
                    small.move(0.34 * c, 0.09, 0.34 * s),
                    light if form == 'globe' else cloth,
                )
            b.count(arms, 'arm')
    b.name(f'{kind} lamp')
    b.say(
        {
            'globe': 'a round globe',
            'cone': 'a conical shade',
            'drum': 'a cylindrical shade',
            'bell': 'a bell-shaped shade',
        }[form]
    )


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
