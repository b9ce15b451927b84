"""Mug, bowl, vase, bottle, bathtub."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Builder, Category
from mm3dpretrain.datasets.synthetic.primitives import (
    Mesh,
    bar,
    box,
    cylinder,
    lathe,
    loft,
    smooth_curve,
    sphere,
    torus,
    tube,
)


def vessel(profile: np.ndarray, wall: float, segments: int = 24) -> Mesh:
    """Open pot: outer profile (K, 2) from the bottom to the rim, walls of one thickness."""
    radius = np.maximum(profile[:, 0] - wall, 0.004)
    low = profile[0, 1] + wall
    inside = np.stack([radius, np.maximum(profile[:, 1], low)], 1)[::-1]
    # one ring at the height of the floor, then the middle of the floor
    inside = inside[inside[:, 1] > low + 1e-6]
    floor = np.interp(low, profile[:, 1], profile[:, 0]) - wall
    return lathe(np.concatenate([profile, inside, [(max(floor, 0.004), low)]]), segments)


def build_mug(b: Builder) -> None:
    """Cup with one or no handle, sometimes with a saucer."""
    height, radius = b.uniform(0.5, 1.15), b.uniform(0.3, 0.48)
    shape = b.pick('straight', 'tapered', 'bulged', 'waisted', 'rounded')
    middle = {'bulged': 1.18, 'waisted': 0.82}.get(shape, 1.0)
    low = {'tapered': b.uniform(0.55, 0.8), 'rounded': 0.45}.get(shape, 1.0)
    points = [(radius * low, 0), (radius * middle * (1 + low) / 2, height * 0.5), (radius, height)]
    if shape == 'rounded':
        points = [
            (radius * low, 0),
            (radius * 0.85, height * 0.2),
            (radius, height * 0.55),
            (radius, height),
        ]
    profile = smooth_curve(points, 9)
    paint = b.paint('ceramic', 'metal', 'plastic')
    b.add('body', vessel(profile, b.uniform(0.025, 0.05)), paint)
    if shape in ('bulged', 'tapered', 'rounded'):
        b.call(shape)
    if height > 0.95:
        b.call('tall')
    if b.chance(0.88):
        size, out = b.uniform(0.45, 0.75) * height, b.uniform(0.18, 0.32)
        y = b.uniform(0.45, 0.55) * height
        kind = b.pick('round', 'square', 'ear')
        edge = float(np.interp(y + size / 2, profile[:, 1], profile[:, 0])) - 0.02
        low_edge = float(np.interp(y - size / 2, profile[:, 1], profile[:, 0])) - 0.02
        path = [(edge, y + size / 2, 0), (edge + out, y + size * 0.32, 0)]
        path += [
            (low_edge + out, y - size * (0.32 if kind != 'ear' else 0.1), 0),
            (low_edge, y - size / 2, 0),
        ]
        path = np.array(path) if kind == 'square' else smooth_curve(path, 14)
        b.add('handle', tube(path, b.uniform(0.03, 0.055)), paint)
        b.say('a handle')
    else:
        b.say('no handle')
    if b.chance(0.15):
        dish = [(radius * 0.6, -0.025), (radius * 1.3, 0.0), (radius * 1.9, 0.08)]
        b.add('saucer', vessel(np.array(dish), 0.02), paint)
        b.say('a saucer')


def build_bowl(b: Builder) -> None:
    """Wide open vessel, sometimes with a foot, rim, handles or lid knob."""
    radius, height = b.uniform(0.45, 0.8), b.uniform(0.22, 0.6)
    bottom = radius * b.uniform(0.25, 0.65)
    belly = b.uniform(0.75, 1.02)
    points = [
        (bottom, 0),
        ((bottom + radius) / 2 * (0.85 + 0.35 * belly), height * 0.4),
        (radius, height),
    ]
    paint = b.paint('ceramic', 'metal', 'wood', 'glass', 'plastic')
    b.add('body', vessel(smooth_curve(points, 9), b.uniform(0.02, 0.05), 28), paint)
    b.call('deep' if height / radius > 0.8 else 'shallow' if height / radius < 0.45 else 'round')
    if b.chance(0.4):
        rise = b.uniform(0.05, 0.16)
        foot = cylinder(bottom * b.uniform(0.8, 1.1), rise + 0.02, bottom * 0.75, 24)
        b.add('foot', foot.move(y=-rise / 2 + 0.01), paint)
        b.say('a foot')
    if b.chance(0.3):
        b.add(
            'rim',
            torus(radius - 0.01, b.uniform(0.02, 0.045), 28).move(y=height),
            b.paint('ceramic'),
        )
        b.say('a thick rim')
    handles = b.pick(0, 0, 0, 1, 2)
    for sx in (1, -1)[:handles]:
        ring = smooth_curve(
            [(0, 0, -0.14), (0.15, 0.02, -0.1), (0.15, 0.02, 0.1), (0, 0, 0.14)], 10
        )
        b.add(
            'handle',
            tube(ring, 0.028).scale(sx).move(sx * (radius - 0.05), height - 0.07, 0),
            paint,
        )
    b.count(handles, 'handle')


def build_vase(b: Builder) -> None:
    """Slender open vessel of a curved profile; sometimes with handles or flowers."""
    height = b.uniform(0.8, 1.6)
    base, belly = b.uniform(0.12, 0.34), b.uniform(0.24, 0.52)
    neck, mouth = b.uniform(0.1, 0.3), b.uniform(0.14, 0.45)
    where = b.uniform(0.25, 0.65)
    points = [
        (base, 0),
        (belly, where * height),
        (neck, b.uniform(0.78, 0.88) * height),
        (mouth, height),
    ]
    if b.chance(0.25):
        points = [(base, 0), (base * 1.1, where * height), (mouth, height)]
    profile = smooth_curve(points, 15)
    profile[:, 0] = np.maximum(profile[:, 0], 0.07)
    segments = b.pick(6, 8, 28, 28, 28)
    paint = b.paint('ceramic', 'glass', 'metal')
    b.add('body', vessel(profile, 0.03, segments), paint)
    if segments < 10:
        b.call('faceted')
    b.call('tall' if height > 1.3 else 'small' if height < 1.0 else 'curved')
    if b.chance(0.3):
        low, high = where * height, 0.86 * height
        edge = [float(np.interp(y, profile[:, 1], profile[:, 0])) - 0.02 for y in (low, high)]
        out = max(edge) + b.uniform(0.06, 0.2)
        path = smooth_curve([(edge[0], low, 0), (out, (low + high) / 2, 0), (edge[1], high, 0)], 12)
        for sx in (-1, 1):
            b.add('handle', tube(path, 0.03).scale(sx), paint)
        b.say('two handles')
    if b.chance(0.25):
        stems = b.integer(2, 5)
        petal, green = b.paint('plastic'), b.paint('plastic')._replace(rgb=(58, 118, 56))
        for n in range(stems):
            t = 2 * np.pi * n / stems + b.uniform(-0.4, 0.4)
            lean = b.uniform(0.1, 0.4)
            head = (lean * np.cos(t), height + b.uniform(0.2, 0.55), lean * np.sin(t))
            b.add('flower', bar((0, 0.02, 0), head, 0.014, segments=5), green)
            b.add('flower', sphere(b.uniform(0.06, 0.11), 10, 6).move(*head), petal)
        b.count(stems, 'flower')


def build_bottle(b: Builder) -> None:
    """Closed vessel with a narrow neck, of round or square section."""
    height, radius = b.uniform(0.5, 0.95), b.uniform(0.16, 0.34)
    neck, neck_height = radius * b.uniform(0.22, 0.6), b.uniform(0.12, 0.45)
    shoulder = b.uniform(0.06, 0.3)
    top = height + shoulder
    waist = b.uniform(0.82, 1.0) if b.chance(0.4) else 1.0
    profile = [(radius * 0.9, 0), (radius, 0.04), (radius * waist, height / 2), (radius, height)]
    bend = smooth_curve(
        [(radius, height), ((radius + neck) / 2 + 0.03, height + 0.55 * shoulder), (neck, top)], 6
    )
    profile += [tuple(p) for p in bend[1:]]
    profile += [(neck, top + neck_height)]
    body = lathe(profile, b.pick(24, 24, 24, 8, 6))
    flat = b.uniform(0.5, 1) if b.chance(0.3) else 1.0
    paint = b.paint('glass', 'plastic', 'metal')
    b.add('body', body.scale(z=flat), paint)
    y = top + neck_height
    closure = b.pick('cap', 'cap', 'cork', 'pump', 'none')
    if closure in ('cap', 'cork'):
        size = neck * (1.25 if closure == 'cap' else 0.8)
        mesh = cylinder(size, 0.12, size * 0.95, 18).move(
            y=y + (-0.02 if closure == 'cap' else 0.03)
        )
        b.add(
            'cap', mesh.scale(z=flat), b.paint('plastic') if closure == 'cap' else b.paint('wood')
        )
        b.say(f'a {closure}')
    elif closure == 'pump':
        plastic = b.paint('plastic')
        b.add('cap', cylinder(neck * 1.2, 0.08, segments=16).move(y=y), plastic)
        b.add('cap', bar((0, y, 0), (0, y + 0.16, 0), 0.025), plastic)
        b.add('cap', bar((-0.06, y + 0.16, 0), (0.2, y + 0.14, 0), 0.035, 0.02), plastic)
        b.say('a pump')
    if b.chance(0.5):
        low, high = b.uniform(0.15, 0.3) * height, b.uniform(0.6, 0.85) * height
        label = lathe([(radius * 1.015, low), (radius * 1.015, high)], 24).scale(z=flat)
        sticker = b.paint('textile')
        if waist == 1.0:
            b.add('label', label, sticker)
            b.say(f'a {sticker.color} label')
    if b.chance(0.12):
        path = smooth_curve(
            [(radius * 0.95, 0.3 * height, 0), (radius + 0.16, 0.45 * height, 0)], 2
        )
        path = smooth_curve(
            [path[0], path[1], (radius + 0.16, 0.75 * height, 0), (radius * 0.95, 0.9 * height, 0)],
            12,
        )
        b.add('handle', tube(path, 0.035), paint)
        b.say('a handle')
    b.call('slim' if radius < 0.21 else 'wide' if radius > 0.29 else 'plain')


def build_bathtub(b: Builder) -> None:
    """Long open basin, free-standing on feet or in a box, with or without taps."""
    length, width, height = b.uniform(1.3, 1.8), b.uniform(0.6, 0.85), b.uniform(0.4, 0.65)
    paint = b.paint('ceramic', 'metal')
    power = b.uniform(2.0, 6.0)
    angle = np.arange(28) / 28 * 2 * np.pi

    def outline(scale: float, y: float, inset: float = 0.0) -> np.ndarray:
        c, s = np.cos(angle), np.sin(angle)
        x = np.sign(c) * np.abs(c) ** (2 / power) * (length / 2 * scale - inset)
        z = -np.sign(s) * np.abs(s) ** (2 / power) * (width / 2 * scale - inset)
        return np.stack([x, np.full_like(x, y), z], 1)

    wall, low = b.uniform(0.03, 0.07), b.uniform(0.68, 0.95)
    style = b.pick('feet', 'boxed', 'standing')
    lift = b.uniform(0.08, 0.16) if style == 'feet' else 0.0
    mid = (1 + low) / 2 + 0.04
    sections = [outline(low, 0), outline(mid, height / 2), outline(1, height)]
    sections += [outline(1, height, wall), outline(mid, height / 2, wall), outline(low, 0.06, wall)]
    b.add('basin', loft(np.array(sections)).move(y=lift), paint)
    if style == 'feet':
        foot = b.paint('metal', 'brass')
        for sx in (-1, 1):
            for sz in (-1, 1):
                leg = bar((sx * 0.2, 0, sz * 0.12), (sx * 0.17, lift + 0.08, sz * 0.09), 0.03, 0.06)
                b.add('foot', leg.move(sx * length * low * 0.22, 0, sz * width * low * 0.2), foot)
        b.say('four feet')
    elif style == 'boxed':
        t = 0.03
        for sz in (-1, 1):
            b.add(
                'panel',
                box(length + 0.1, height, t).move(0, height / 2, sz * (width / 2 + 0.02)),
                paint,
            )
        for sx in (-1, 1):
            b.add(
                'panel',
                box(t, height, width + 0.04).move(sx * (length / 2 + 0.035), height / 2, 0),
                paint,
            )
        b.call('built-in')
    if b.chance(0.6):
        metal = b.paint('metal', 'brass')
        x, y = -length / 2 + 0.02, lift + height
        path = smooth_curve(
            [(x, y - 0.03, 0), (x, y + 0.18, 0), (x + 0.1, y + 0.24, 0), (x + 0.2, y + 0.17, 0)], 10
        )
        b.add('tap', tube(path, 0.022), metal)
        for sz in (-1, 1):
            b.add('tap', cylinder(0.03, 0.07).move(x, y + 0.03, sz * 0.12), metal)
        b.say('a tap')
    b.call('oval' if power < 3 else 'rectangular')


CATEGORIES = (
    Category('mug', '90000011', ('body', 'handle', 'saucer'), build_mug, ('cup',)),
    Category('bowl', '90000012', ('body', 'foot', 'rim', 'handle'), build_bowl, ('dish',)),
    Category('vase', '90000013', ('body', 'handle', 'flower'), build_vase),
    Category('bottle', '90000014', ('body', 'cap', 'label', 'handle'), build_bottle, ('flask',)),
    Category('bathtub', '90000015', ('basin', 'foot', 'panel', 'tap'), build_bathtub, ('bath',)),
)
