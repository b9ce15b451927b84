"""Guitar, hammer, headphones."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Builder, Category
from mm3dpretrain.datasets.synthetic.primitives import (
    bar,
    box,
    cylinder,
    extrude,
    lathe,
    smooth_curve,
    sphere,
    torus,
    tube,
)


def build_guitar(b: Builder) -> None:
    """Acoustic or electric guitar standing upright, front towards +z."""
    electric = b.chance(0.5)
    wood = b.paint('lacquer', 'wood') if electric else b.paint('wood')
    dark, metal = b.paint('wood'), b.paint('metal')
    length = b.uniform(0.85, 1.05)
    lower, waist, upper = b.uniform(0.36, 0.44), b.uniform(0.22, 0.3), b.uniform(0.26, 0.33)
    thick = b.uniform(0.04, 0.06) if electric else b.uniform(0.09, 0.14)
    side = [
        (0.02, 0),
        (lower * 0.35, 0.015),
        (lower / 2, 0.14),
        (waist / 2, 0.3),
        (upper / 2, 0.42),
        (upper * 0.3, 0.5),
        (0.035, 0.5),
    ]
    right = smooth_curve(side, 22)
    left = right[::-1] * [-1, 1]
    style = 'classical'
    if electric:
        style = b.pick('double', 'single', 'vee')
        if style == 'vee':
            right = np.array([(0.0, 0.14), (0.2, -0.04), (0.25, 0.0), (0.06, 0.46), (0.03, 0.5)])
            left = right[:0:-1] * [-1, 1]
        else:
            horn = [
                (0.02, 0),
                (lower * 0.35, 0.015),
                (lower / 2, 0.14),
                (waist / 2, 0.28),
                (upper * 0.5, 0.42),
                (upper * 0.42, 0.53),
                (0.08, 0.44),
                (0.035, 0.43),
            ]
            right = smooth_curve(horn, 24)
            left = right[::-1] * [-1, 1] if style == 'double' else left
    elif b.chance(0.35):
        right = smooth_curve(side[:4] + [(upper / 2, 0.37), (0.1, 0.4), (0.035, 0.46)], 22)
        b.say('a cutaway')
    b.add('body', extrude(np.concatenate([right, left]), thick), wood)
    front = thick / 2
    b.add('neck', box(0.055, length - 0.4, 0.025).move(0, 0.44 + (length - 0.4) / 2, front), dark)
    b.add(
        'neck',
        box(0.045, length - 0.46, 0.03).move(0, 0.48 + (length - 0.46) / 2, front - 0.02),
        wood,
    )
    top = 0.44 + length - 0.4
    head = extrude(
        [(-0.03, 0), (0.03, 0), (0.045, 0.16), (-0.045, 0.16 if b.chance(0.6) else 0.1)], 0.02
    )
    b.add('head', head.rotate('x', -b.uniform(0, 14)).move(0, top - 0.01, front), dark)
    strings = b.pick(6, 6, 4)
    bridge = b.uniform(0.1, 0.17)
    for n in range(strings):
        x = (n / (strings - 1) - 0.5) * 0.036
        line = bar((x, bridge, front + 0.016), (x, top, front + 0.018), 0.0022, segments=4)
        b.add('string', line, metal)
        peg = cylinder(0.009, 0.035, segments=8, axis='x')
        sx = -1 if n < strings / 2 else 1
        b.add('peg', peg.move(sx * 0.05, top + 0.03 + 0.035 * (n % (strings // 2)), front), metal)
    b.add(
        'bridge',
        box(0.12 if not electric else 0.08, 0.025, 0.018).move(0, bridge, front + 0.006),
        dark,
    )
    if electric:
        pickups = b.integer(1, 3)
        for y in np.linspace(bridge + 0.06, 0.36, pickups):
            b.add('pickup', box(0.075, 0.03, 0.016).move(0, y, front + 0.004), b.paint('rubber'))
        b.count(pickups, 'pickup')
        for n in range(b.integer(1, 4)):
            if style != 'vee':
                b.add(
                    'pickup',
                    cylinder(0.013, 0.02, axis='z').move(0.11, 0.07 + 0.04 * n, front + 0.005),
                    metal,
                )
        b.name('electric guitar')
    else:
        b.add(
            'hole',
            cylinder(0.055, 0.004, segments=20, axis='z').move(0, 0.36, front + 0.001),
            b.paint('rubber'),
        )
        b.name('acoustic guitar')
        b.say('a sound hole')
    b.count(strings, 'string')


def build_hammer(b: Builder) -> None:
    """Claw, sledge, ball or mallet head on a handle, standing upright."""
    long = b.uniform(0.7, 1.2)
    grip, metal = b.paint('wood', 'plastic'), b.paint('metal')
    kind = b.pick('claw', 'sledge', 'ball', 'mallet', 'pick')
    r = b.uniform(0.02, 0.035)
    oval = b.uniform(0.7, 1.0)
    profile = [(r * 1.15, 0), (r * 1.3, long * 0.12), (r * 0.9, long * 0.4), (r, long)]
    b.add('handle', lathe(smooth_curve(profile, 9), 12).scale(z=oval), grip)
    size = b.uniform(0.05, 0.085)
    y = long - size * 0.3
    half = b.uniform(0.12, 0.2)
    if kind == 'mallet':
        metal = b.paint('wood', 'rubber')
        barrel = cylinder(size * 1.5, 2.2 * half, segments=18, axis='x')
        b.add(
            'head',
            (barrel if b.chance(0.5) else box(2.2 * half, 2.6 * size, 2.2 * size)).move(y=y),
            metal,
        )
    elif kind == 'sledge':
        b.add(
            'head',
            cylinder(size * 1.1, 2 * half, segments=b.pick(6, 8, 16), axis='x').move(y=y),
            metal,
        )
    else:
        b.add('head', box(1.6 * size, 1.3 * size, 1.2 * size).move(y=y), metal)
        b.add('head', cylinder(size * 0.55, half, segments=12, axis='x').move(half / 2, y), metal)
        b.add('head', cylinder(size * 0.75, 0.05, segments=16, axis='x').move(half, y), metal)
        if kind == 'ball':
            b.add(
                'head',
                cylinder(size * 0.5, half * 0.7, segments=12, axis='x').move(-half * 0.35, y),
                metal,
            )
            b.add('head', sphere(size * 0.75, 14, 8).move(-half * 0.8, y), metal)
        elif kind == 'pick':
            spike = tube(
                smooth_curve(
                    [(0, y, 0), (-half * 0.9, y - 0.01, 0), (-half * 1.7, y - 0.08, 0)], 8
                ),
                np.linspace(size * 0.5, 0.006, 8),
            )
            b.add('head', spike, metal)
        else:
            for sz in (-1, 1):
                path = smooth_curve(
                    [
                        (-size * 0.5, y, sz * size * 0.2),
                        (-half * 0.7, y + 0.01, sz * size * 0.35),
                        (-half * 1.15, y - 0.05, sz * size * 0.5),
                    ],
                    8,
                )
                b.add('head', tube(path, np.linspace(size * 0.42, size * 0.12, 8)), metal)
    if b.chance(0.6):
        sleeve = b.paint('rubber', 'plastic')
        cover = lathe([(r * 1.45, -0.01), (r * 1.5, long * b.uniform(0.25, 0.4))], 12)
        b.add('grip', cover.scale(z=oval), sleeve)
        b.say(f'a {sleeve.color} grip')
    b.name({'ball': 'ball-peen'}.get(kind, kind) + ' hammer')
    b.say(
        'a long handle' if long > 1.0 else 'a short handle' if long < 0.8 else 'a straight handle'
    )


def build_headphones(b: Builder) -> None:
    """Band with two ear cups; cushions, microphone, cable."""
    span, tall = b.uniform(0.32, 0.42), b.uniform(0.36, 0.5)
    shell, pad = b.paint('plastic', 'metal'), b.paint('leather', 'rubber')
    arc = smooth_curve(
        [
            (-span / 2, 0, 0),
            (-span * 0.46, tall * 0.6, 0),
            (0, tall, 0),
            (span * 0.46, tall * 0.6, 0),
            (span / 2, 0, 0),
        ],
        20,
    )
    flat = b.uniform(1.5, 4.0)
    b.add('band', tube(arc, 0.014).scale(z=flat), shell)
    if b.chance(0.6):
        inner = arc[5:15] * [0.95, 0.95, 1]
        b.add('band', tube(inner, 0.02).scale(z=flat * 0.7), pad)
    cup, deep = b.uniform(0.07, 0.13), b.uniform(0.04, 0.08)
    oval = b.uniform(1.0, 1.35)
    for sx in (-1, 1):
        disc = cylinder(cup, deep, cup * b.uniform(0.7, 1.0), 20, 'x').scale(sx, oval, 1)
        b.add('cup', disc.move(sx * (span / 2 + deep * 0.3), -0.02, 0), shell)
        ring = torus(cup * 0.78, cup * 0.24, 20, 8).rotate('z', 90).scale(1, oval, 1)
        b.add('cushion', ring.move(sx * (span / 2 - deep * 0.35), -0.02, 0), pad)
    if b.chance(0.35):
        side = b.pick(-1, 1) * (span / 2 + deep * 0.5)
        boom = smooth_curve([(side, -0.05, 0), (side, -0.16, 0.12), (side * 0.55, -0.2, 0.25)], 10)
        b.add('microphone', tube(boom, 0.009, 6), shell)
        b.add('microphone', sphere(0.024, 10, 6).move(*boom[-1]), pad)
        b.say('a microphone')
    if b.chance(0.5):
        wire = smooth_curve(
            [
                (-span / 2, -0.02 - cup * oval, 0),
                (-span * 0.4, -0.35, 0.05),
                (-span * 0.2, -b.uniform(0.4, 0.6), 0),
                (0.0, -0.65, 0.08),
            ],
            14,
        )
        b.add('cable', tube(wire, 0.007, 6), b.paint('rubber'))
        b.say('a cable')
    b.say('large ear cups' if cup > 0.105 else 'small ear cups')


CATEGORIES = (
    Category(
        'guitar',
        '90000043',
        ('body', 'neck', 'head', 'string', 'peg', 'bridge', 'pickup', 'hole'),
        build_guitar,
    ),
    Category('hammer', '90000044', ('handle', 'head', 'grip'), build_hammer),
    Category(
        'headphones',
        '90000045',
        ('band', 'cup', 'cushion', 'microphone', 'cable'),
        build_headphones,
        (),
        'pair of headphones',
    ),
)
