"""Car, bus."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Builder, Category
from mm3dpretrain.datasets.synthetic.palette import Paint
from mm3dpretrain.datasets.synthetic.primitives import (
    Mesh,
    bar,
    box,
    cylinder,
    extrude,
    sphere,
)


def _wheel(b: Builder, x: float, z: float, radius: float, width: float, hub: Paint) -> None:
    """Add a wheel that stands on the ground and turns about x."""
    rubber = b.paint('rubber')
    b.add('wheel', cylinder(radius, width, segments=18, axis='x').move(x, radius, z), rubber)
    disc = cylinder(radius * 0.55, width * 1.08, segments=12, axis='x')
    b.add('wheel', disc.move(x, radius, z), hub)


def _narrow(mesh: Mesh, low: float, high: float, top_scale: float) -> Mesh:
    """Scale x from 1 at height ``low`` to ``top_scale`` at ``high``: sides that lean inwards."""
    v = mesh.vertices.copy()
    share = np.clip((v[:, 1] - low) / (high - low), 0, 1)
    v[:, 0] *= 1 + share * (top_scale - 1)
    return Mesh(v, mesh.faces)


def _side_view(outline: np.ndarray, width: float) -> Mesh:
    """Plate of a side view given as (z, y), ``width`` along x."""
    return extrude(np.stack([-outline[:, 0], outline[:, 1]], 1), width).rotate('y', 90)


def build_car(b: Builder) -> None:
    """Saloon, hatchback, estate, pick-up, van or sports car; front towards +z."""
    kind = b.pick('saloon', 'hatchback', 'estate', 'pickup', 'van', 'sports')
    length = {'hatchback': 3.6, 'van': 4.3}.get(kind, 4.4) * b.uniform(0.92, 1.08)
    width = b.uniform(1.6, 1.9)
    radius = b.uniform(0.29, 0.4)
    floor, belt = radius * b.uniform(0.55, 0.9), b.uniform(0.82, 1.0)
    roof = belt + {'sports': 0.32, 'van': 0.95, 'pickup': 0.6}.get(kind, 0.52) * b.uniform(
        0.9, 1.12
    )
    paint, window, metal = b.paint('lacquer'), b.paint('window'), b.paint('metal')
    half = length / 2
    nose = belt - b.uniform(0.08, 0.28)
    tail = belt - (b.uniform(0.0, 0.12) if kind != 'sports' else 0.05)
    bonnet = half * {'van': 0.75, 'sports': 0.35, 'pickup': 0.5}.get(kind, 0.45)
    body = np.array(
        [(-half, floor + 0.1), (-half * 0.95, floor), (half * 0.95, floor), (half, floor + 0.15),
         (half * 0.98, nose), (bonnet, belt), (-half * 0.8, belt), (-half, tail)]
    )  # fmt: skip
    b.add('body', _narrow(_side_view(body, width), floor, belt, 0.95), paint)
    front = bonnet - 0.02
    rear, rear_roof = {
        'saloon': (-half * 0.62, -half * 0.32),
        'sports': (-half * 0.75, -half * 0.2),
        'hatchback': (-half * 0.95, -half * 0.72),
        'estate': (-half * 0.97, -half * 0.88),
        'pickup': (-half * 0.12, -half * 0.06),
        'van': (-half * 0.98, -half * 0.94),
    }[kind]
    front_roof = front - (roof - belt) * b.uniform(0.7, 1.2)
    if kind == 'sports' and b.chance(0.5):
        shield = np.array(
            [
                (front, belt - 0.02),
                (front_roof, roof),
                (front_roof - 0.05, roof),
                (front - 0.12, belt - 0.02),
            ]
        )
        b.add('window', _narrow(_side_view(shield, width * 0.9), belt, roof, 0.85), window)
        for sx in (-1, 1):
            b.add(
                'seat',
                box(0.45, 0.55, 0.2).rotate('x', -12).move(sx * 0.38, belt + 0.05, -0.25),
                b.paint('leather'),
            )
        b.call('open')
    else:
        cabin = np.array(
            [(front, belt - 0.02), (front_roof, roof), (rear_roof, roof), (rear, belt - 0.02)]
        )
        glass = _narrow(_side_view(cabin, width * 0.94), belt, roof, 0.82)
        b.add('window', glass, window)
        shell = np.array(
            [
                (front_roof + 0.06, roof - 0.04),
                (front_roof, roof + 0.03),
                (rear_roof, roof + 0.03),
                (rear_roof - 0.06, roof - 0.04),
            ]
        )
        b.add('roof', _side_view(shell, width * 0.94 * 0.84), paint)
        pillars = [(front, front_roof), (rear, rear_roof)] + (
            [((front + rear) / 2,) * 2] if kind != 'pickup' else []
        )
        for foot, top in pillars:
            for sx in (-1, 1):
                start, end = (sx * width * 0.465, belt, foot), (sx * width * 0.39, roof, top)
                b.add('roof', bar(start, end, 0.04, segments=6), paint)
    if kind == 'pickup':
        for sx in (-1, 1):
            b.add(
                'body',
                box(0.08, 0.3, half * 0.82).move(sx * width * 0.44, belt + 0.13, -half * 0.56),
                paint,
            )
        b.add('body', box(width * 0.88, 0.3, 0.08).move(0, belt + 0.13, -half * 0.95), paint)
    axle = half * b.uniform(0.58, 0.68)
    for z in (axle, -axle):
        for sx in (-1, 1):
            _wheel(b, sx * (width / 2 - 0.1), z, radius, 0.24, metal)
    lamp = b.paint('light')
    for sx in (-1, 1):
        b.add(
            'light',
            sphere(0.11, 10, 6).scale(z=0.5).move(sx * width * 0.36, nose - 0.1, half * 0.98),
            lamp,
        )
        mirror = sphere(0.1, 8, 5).scale(1.0, 0.7, 0.5)
        b.add(
            'mirror',
            mirror.move(sx * (width / 2 + 0.06), belt + 0.06, front - 0.25),
            paint,
            optional=0.2,
        )
    b.add('bumper', box(width * 0.96, 0.14, 0.1).move(0, floor + 0.14, half), metal, optional=0.3)
    b.add('bumper', box(width * 0.96, 0.14, 0.1).move(0, floor + 0.16, -half), metal, optional=0.3)
    if kind == 'sports' and b.chance(0.5):
        wing = box(width * 0.9, 0.04, 0.25).move(0, belt + 0.22, -half * 0.85)
        b.add('spoiler', wing, paint)
        for sx in (-1, 1):
            b.add(
                'spoiler',
                box(0.05, 0.24, 0.1).move(sx * width * 0.3, belt + 0.1, -half * 0.85),
                paint,
            )
        b.say('a spoiler')
    if kind in ('estate', 'van', 'hatchback') and b.chance(0.3):
        for sx in (-1, 1):
            x, y = sx * width * 0.33, roof + 0.08
            b.add('rack', bar((x, y, rear_roof * 0.9), (x, y, front_roof * 0.8), 0.03), metal)
            for z in (rear_roof * 0.85, front_roof * 0.75):
                b.add('rack', bar((x, roof, z), (x, y, z), 0.025), metal)
        b.say('roof rails')
    b.say({'pickup': 'a loading bed', 'hatchback': 'a hatch'}.get(kind, 'four wheels'))
    b.name({'pickup': 'pick-up', 'van': 'van-like'}.get(kind, kind) + ' car')


def build_bus(b: Builder) -> None:
    """Long box on wheels with rows of windows; one or two decks."""
    length, width = b.uniform(5.0, 10.5), b.uniform(2.1, 2.6)
    decks = 2 if b.chance(0.3) else 1
    deck = b.uniform(1.9, 2.3)
    radius = b.uniform(0.42, 0.52)
    floor = radius * b.uniform(0.6, 1.0)
    height = floor + decks * deck
    paint, window, metal = b.paint('lacquer'), b.paint('window'), b.paint('metal')
    half = length / 2
    slope = b.uniform(0.0, 0.9)
    hood = b.uniform(0.8, 1.4) if decks == 1 and b.chance(0.25) else 0.0
    side = np.array(
        [
            (-half, floor),
            (half, floor),
            (half, floor + 0.9),
            (half - slope * 0.5, height - 0.1),
            (half - slope * 0.5 - 0.15, height),
            (-half + 0.15, height),
            (-half, height - 0.15),
        ]
    )
    b.add('body', _side_view(side, width), paint)
    if hood:
        b.add(
            'body',
            box(width * 0.85, 0.85, hood).move(0, floor + 0.43, half + hood / 2 - 0.02),
            paint,
        )
        b.say('a hood')
    band = paint if b.chance(0.4) else b.paint('lacquer')
    if band != paint:
        b.add('body', box(width + 0.02, 0.18, length * 0.97).move(0, floor + 0.65), band)
    panes = int(np.clip(length / b.uniform(0.9, 1.5), 3, 9))
    for level in range(decks):
        y = floor + level * deck + deck * 0.66
        for z in (np.arange(panes) + 0.5) / panes * (length * 0.9) - length * 0.47:
            pane = box(width + 0.04, deck * 0.4, length * 0.9 / panes * 0.8)
            b.add('window', pane.move(0, y, z), window)
        b.add('window', box(width * 0.86, deck * 0.4, 0.04).move(0, y, -half - 0.01), window)
        lean = slope * 0.5 * (y - floor - 0.9) / max(height - floor - 1.0, 0.1)
        tilt = -np.degrees(np.arctan2(slope * 0.5, height - floor - 1.0))
        glass = box(width * 0.88, deck * 0.45, 0.06).rotate('x', tilt)
        b.add('window', glass.move(0, y, half - max(lean, 0) + 0.0), window)
    door = box(0.06, deck * 0.85, 0.75)
    doors = b.integer(1, 2) if length > 6 else 1
    for z in (half - 1.0, -half * 0.1)[:doors]:
        b.add('door', door.move(-width / 2 - 0.005, floor + deck * 0.46, z), metal)
    axles = [half * 0.62, -half * 0.6] + (
        [-half * 0.6 - 2.3 * radius] if length > 8 and b.chance(0.5) else []
    )
    if hood:
        axles[0] = half + hood * 0.4
    for z in axles:
        for sx in (-1, 1):
            _wheel(b, sx * (width / 2 - 0.13), z, radius, 0.28, metal)
    lamp = b.paint('light')
    for sx in (-1, 1):
        light = sphere(0.14, 10, 6).scale(z=0.5)
        b.add('light', light.move(sx * width * 0.36, floor + 0.4, half + hood), lamp)
        b.add(
            'mirror',
            box(0.1, 0.35, 0.08).move(sx * (width / 2 + 0.045), floor + deck * 0.75, half - 0.1),
            metal,
            optional=0.3,
        )
    if decks == 1 and b.chance(0.25):
        b.add(
            'roof', box(width * 0.7, 0.25, length * 0.3).move(0, height + 0.1, -half * 0.2), paint
        )
        b.say('a roof box')
    if decks == 2:
        b.name('double-decker bus')
    b.call('long' if length > 8.5 else 'short')
    b.count(doors, 'door')
    b.count(2 * len(axles), 'wheel')


CATEGORIES = (
    Category(
        'car',
        '90000031',
        ('body', 'roof', 'window', 'wheel', 'light', 'mirror', 'bumper', 'spoiler', 'rack', 'seat'),
        build_car,
        ('automobile',),
    ),
    Category(
        'bus', '90000032', ('body', 'window', 'door', 'wheel', 'light', 'mirror', 'roof'), build_bus
    ),
)
