"""Monitor, laptop."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Builder, Category
from mm3dpretrain.datasets.synthetic.primitives import (
    bar,
    box,
    cushion,
    cylinder,
    loft,
)


def build_monitor(b: Builder) -> None:
    """Flat or deep screen on a stand; sometimes two screens or a keyboard."""
    width = b.uniform(0.5, 1.1)
    height = width / b.uniform(1.2, 2.2)
    plastic, screen = b.paint('plastic', 'metal'), b.paint('screen')
    thick = b.uniform(0.025, 0.06)
    lift = b.uniform(0.06, 0.25)
    tube_ = b.chance(0.2)
    bend = 0.0 if tube_ else b.pick(0, 0, b.uniform(8, 16))
    screens = 2 if b.chance(0.12) and not tube_ else 1
    y = lift + height / 2
    bezel = b.uniform(0.015, 0.05)
    for n in range(screens):
        x = 0.0 if screens == 1 else (n - 0.5) * width * 1.03
        if bend:
            wings = [(s, -s * bend) for s in (-1, 1)]
            for s, turn in wings:
                half = box(width / 2 + 0.004, height, thick).move(x=s * width / 4).rotate('y', turn)
                b.add('frame', half.move(x, y, 0), plastic)
                glass = box(width / 2 - bezel, height - 2 * bezel, 0.01).move(
                    s * (width / 4 - bezel / 2), 0, thick / 2
                )
                b.add('screen', glass.rotate('y', turn).move(x, y, 0.002), screen)
            continue
        b.add('frame', box(width, height, thick).move(x, y, 0), plastic)
        b.add(
            'screen', box(width - 2 * bezel, height - 2 * bezel, 0.01).move(x, y, thick / 2), screen
        )
    if tube_:
        deep = b.uniform(0.25, 0.45) * width
        square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * [width / 2, height / 2]
        rows = [
            np.column_stack([square * s, np.full(4, z)]) for s, z in ((0.55, -deep), (0.96, -0.02))
        ]
        b.add('frame', loft(np.array(rows)).move(y=y), plastic)
        b.call('old')
    base = b.pick('plate', 'round', 'feet', 'pole')
    back = -thick / 2 - 0.015
    if base == 'feet' and not tube_ and not bend:
        for sx in (-1, 1):
            x = sx * width * screens * 0.33
            b.add('stand', bar((x, lift + 0.02, 0), (x, 0.01, 0.12), 0.014), plastic)
            b.add('stand', bar((x, lift + 0.02, 0), (x, 0.01, -0.12), 0.014), plastic)
        b.say('two feet')
    else:
        b.add('stand', box(0.07, y, 0.03).move(0, y / 2, back), plastic)
        if screens == 2:
            b.add('stand', box(width * 1.1, 0.05, 0.03).move(0, y, back), plastic)
        foot = b.uniform(0.25, 0.5) * min(width, 0.8)
        round_ = base == 'round'
        plate = (
            cylinder(foot * 0.6, 0.02, segments=20) if round_ else box(foot * 1.4, 0.02, foot * 0.8)
        )
        b.add('stand', plate.move(0, 0.01, 0), plastic)
        b.say('a round stand' if round_ else 'a stand')
    if screens == 2:
        b.say('two screens')
    if b.chance(0.25):
        b.add('keyboard', box(width * 0.75, 0.025, 0.16).move(0, 0.012, 0.32), plastic)
        b.add(
            'keyboard',
            box(width * 0.7, 0.012, 0.12).move(0, 0.028, 0.32),
            b.paint('rubber', 'light'),
        )
        b.say('a keyboard')
    b.call('wide' if width / height > 1.8 else 'flat' if not tube_ else 'deep')


def build_laptop(b: Builder) -> None:
    """Two hinged plates with keys and a screen, open at some angle."""
    width, depth = b.uniform(0.6, 0.85), b.uniform(0.4, 0.55)
    thick = b.uniform(0.025, 0.06)
    shell, screen = b.paint('metal', 'plastic'), b.paint('screen')
    keys = b.paint('rubber', 'light')
    b.add('base', cushion(width, thick, depth, 0.12, 24).move(y=thick / 2), shell)
    opening = b.uniform(75, 150)
    lid = box(width, depth * 0.98, thick * 0.5).move(y=depth * 0.49)
    glass = box(width * 0.92, depth * 0.86, 0.006).move(0, depth * 0.49, thick * 0.25)
    for part, mesh, paint in (('lid', lid, shell), ('screen', glass, screen)):
        b.add(part, mesh.rotate('x', 90 - opening).move(0, thick, -depth / 2), paint)
    rows, columns = b.integer(3, 5), b.integer(7, 11)
    for r in range(rows):
        for c in range(columns):
            x = ((c + 0.5) / columns - 0.5) * width * 0.86
            z = -depth * 0.42 + (r + 0.5) / rows * depth * 0.48
            key = box(width * 0.86 / columns * 0.8, 0.012, depth * 0.48 / rows * 0.75)
            b.add('keys', key.move(x, thick + 0.002, z), keys)
    if b.chance(0.7):
        pad = box(width * 0.28, 0.006, depth * 0.24)
        b.add('touchpad', pad.move(0, thick + 0.001, depth * 0.27), b.paint('metal'))
        b.say('a touchpad')
    hinge = cylinder(thick * 0.4, width * 0.7, segments=10, axis='x')
    b.add('base', hinge.move(0, thick, -depth / 2), shell)
    b.call('wide open' if opening > 125 else 'thin' if thick < 0.035 else 'thick')


CATEGORIES = (
    Category(
        'monitor', '90000046', ('frame', 'screen', 'stand', 'keyboard'), build_monitor, ('display',)
    ),
    Category(
        'laptop',
        '90000047',
        ('base', 'lid', 'screen', 'keys', 'touchpad'),
        build_laptop,
        ('notebook computer',),
    ),
)
