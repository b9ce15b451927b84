"""Airplane, rocket, ship."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Builder, Category
from mm3dpretrain.datasets.synthetic.primitives import (
    Mesh,
    bar,
    box,
    cylinder,
    extrude,
    lathe,
    loft,
    smooth_curve,
    sphere,
    torus,
)


def _fin(root: float, tip: float, span: float, sweep: float, thick: float) -> Mesh:
    """Wing half: root chord at x = 0 along z (front at +z), tip at x = span moved back by sweep."""

    def section(x: float, chord: float, back: float, t: float) -> np.ndarray:
        z = np.array([0.5, 0.2, -0.2, -0.5, -0.2, 0.2]) * chord - back
        y = np.array([0, 1, 0.7, 0, -0.7, -1]) * t / 2
        return np.stack([np.full(6, x), y, z], 1)

    return loft(
        np.array([section(0, root, 0, thick), section(span, tip, sweep, thick * 0.5)])[:, ::-1]
    )


def build_airplane(b: Builder) -> None:
    """Jet, propeller plane, biplane or fighter; nose towards +z."""
    kind = b.pick('jet', 'jet', 'propeller', 'biplane', 'fighter')
    length = b.uniform(3.2, 5.0) if kind == 'jet' else b.uniform(2.6, 3.8)
    r = length * {'jet': b.uniform(0.05, 0.075), 'fighter': 0.055}.get(kind, b.uniform(0.06, 0.085))
    paint = b.paint('lacquer', 'metal')
    trim = paint if b.chance(0.5) else b.paint('lacquer')
    half = length / 2
    nose = {'jet': 0.1, 'fighter': 0.02}.get(kind, 0.5) * r
    profile = [
        (0.12 * r, -half),
        (0.55 * r, -half * 0.62),
        (r, -half * 0.15),
        (r, half * 0.5),
        (0.75 * r, half * 0.8),
        (nose, half),
    ]
    hull = lathe(smooth_curve(profile, 14).clip([0.01, -9]), 16).rotate('x', 90)
    b.add('fuselage', hull, paint)
    span = length * {'fighter': b.uniform(0.24, 0.36)}.get(kind, b.uniform(0.38, 0.62))
    sweep = span * {'jet': b.uniform(0.3, 0.6), 'fighter': b.uniform(0.7, 1.1)}.get(
        kind, b.uniform(0.0, 0.1)
    )
    root = length * {'jet': b.uniform(0.15, 0.22), 'fighter': b.uniform(0.3, 0.42)}.get(
        kind, b.uniform(0.13, 0.2)
    )
    tip = root * {'jet': 0.35, 'fighter': 0.15}.get(kind, b.uniform(0.65, 0.95))
    dihedral = b.uniform(-3, 9)
    level = {'jet': -0.5, 'fighter': 0.0}.get(kind, b.pick(-0.7, 0.9)) * r
    if kind == 'jet' and b.chance(0.25):
        level = 0.8 * r
    z0 = length * b.uniform(0.0, 0.1)
    wing = _fin(root, tip, span, sweep, 0.12 * root)
    heights = [level] if kind != 'biplane' else [-0.9 * r, 1.7 * r]
    for y in heights:
        for sx in (-1, 1):
            b.add('wing', wing.rotate('z', dihedral).scale(sx).move(0, y, z0), trim)
    if kind == 'biplane':
        for sx in (-1, 1):
            for share in (0.35, 0.8):
                x = sx * share * span
                rise = abs(x) * np.tan(np.radians(dihedral))
                for dz in (-0.25, 0.25):
                    ends = [(x, y + rise, z0 + dz * root) for y in heights]
                    b.add('wing', bar(*ends, 0.02 * length / 3), paint)
        b.add('wing', bar((0, 0, z0), (0, heights[1], z0), 0.06 * length / 3), paint)
    tail_span, tail_root = span * b.uniform(0.32, 0.42), root * b.uniform(0.55, 0.7)
    zt = -half * b.uniform(0.84, 0.92)
    fin_height = length * b.uniform(0.12, 0.19)
    ttail = kind in ('jet', 'propeller') and b.chance(0.35)
    fins = (-1, 1) if kind == 'fighter' and b.chance(0.5) else (0,)
    for sx in fins:
        fin = _fin(
            tail_root * 1.15,
            tail_root * 0.6,
            fin_height + r * 0.3,
            fin_height * 0.6,
            0.1 * tail_root,
        )
        fin = fin.rotate('z', 90 - 12 * sx)
        b.add('tail', fin.move(sx * r * 0.55, 0.1 * r, zt + 0.1 * tail_root), trim)
    y_tail = fin_height + 0.3 * r if ttail else 0.15 * r
    z_tail = zt - (fin_height * 0.5 if ttail else 0)
    for sx in (-1, 1):
        stabiliser = _fin(tail_root, tail_root * 0.5, tail_span, sweep * 0.35, 0.1 * tail_root)
        b.add('tail', stabiliser.scale(sx).move(0, y_tail, z_tail), trim)
    engines = 0
    dark = b.paint('metal')
    if kind == 'jet':
        engines = b.pick(2, 2, 4)
        rear = engines == 2 and ttail
        for sx in (-1, 1):
            for n in range(engines // 2):
                re, le = r * b.uniform(0.42, 0.52), length * 0.09
                share = (0.34 + 0.3 * n) if engines == 4 else 0.36
                pod = lathe([(re * 0.7, -le), (re, 0.2 * le), (re * 0.9, le)], 14).rotate('x', 90)
                if rear:
                    b.add('engine', pod.move(sx * (r + re * 0.8), r * 0.3, -half * 0.5), dark)
                    b.add('engine', box(r, re * 0.3, le).move(sx * r, r * 0.3, -half * 0.5), paint)
                    continue
                x, y = sx * share * span, level + share * span * np.tan(np.radians(dihedral))
                z = z0 - share * sweep + root * 0.35
                b.add('engine', pod.move(x, y - re * 1.1, z), dark)
                b.add('engine', box(re * 0.3, re, le).move(x, y - re * 0.4, z - le * 0.5), paint)
        b.count(engines, 'engine')
    elif kind == 'fighter':
        nozzle = lathe([(r * 0.62, -0.12 * length), (r * 0.8, 0)], 14).rotate('x', 90)
        b.add('engine', nozzle.move(z=-half * 0.93), dark)
        canopy = sphere(r * 0.7, 12, 7).scale(0.8, 0.8, 2.4).move(0, r * 0.75, half * 0.42)
        b.add('cockpit', canopy, b.paint('window'))
        b.say('swept wings')
    else:
        twin = kind == 'propeller' and b.chance(0.35)
        blades = b.integer(2, 4)
        places = (
            [(-0.35 * span, level, z0 + 0.55 * root), (0.35 * span, level, z0 + 0.55 * root)]
            if twin
            else [(0, 0, half)]
        )
        for x, y, z in places:
            y = y + abs(x) * np.tan(np.radians(dihedral))
            if twin:
                pod = lathe(
                    [(0.1 * r, -0.12 * length), (0.45 * r, 0), (0.4 * r, 0.05 * length)], 12
                ).rotate('x', 90)
                b.add('engine', pod.move(x, y, z - 0.02 * length), dark)
                z += 0.03 * length
            hub = cylinder(0.2 * r, 0.06 * length, 0.02, 12, 'z').move(x, y, z + 0.02 * length)
            b.add('propeller', hub, dark)
            for n in range(blades):
                blade = (
                    box(0.05 * length / 2, 0.1 * length, 0.02)
                    .move(y=0.05 * length)
                    .rotate('z', 360 / blades * n + 20)
                )
                b.add('propeller', blade.move(x, y, z + 0.02 * length), dark)
        b.count(len(places), 'propeller')
        cockpit = sphere(r * 0.75, 12, 7).scale(0.85, 0.8, 1.5).move(0, r * 0.75, half * 0.3)
        b.add('cockpit', cockpit, b.paint('window'))
    if kind != 'jet' and b.chance(0.7):
        for x, z in ((-0.9 * r, z0 + 0.1 * root), (0.9 * r, z0 + 0.1 * root), (0, -half * 0.8)):
            size = 0.3 * r if x else 0.18 * r
            low = -1.9 * r if x else -0.75 * r
            b.add('gear', bar((x * 0.4, 0, z), (x, low, z), 0.07 * r), dark)
            b.add(
                'gear',
                cylinder(size, 0.2 * r, segments=12, axis='x').move(x, low, z),
                b.paint('rubber'),
            )
        b.say('wheels')
    b.name({'jet': 'passenger', 'biplane': 'double-winged'}.get(kind, kind) + ' airplane')
    if kind == 'biplane':
        b.say('two pairs of wings')


def build_rocket(b: Builder) -> None:
    """Slender body with a nose cone and fins; boosters, stages, windows."""
    height, r = b.uniform(2.2, 4.0), b.uniform(0.22, 0.42)
    paint, trim = b.paint('lacquer', 'metal'), b.paint('lacquer')
    nose = r * b.uniform(1.2, 3.2)
    bulge = b.uniform(0.95, 1.35) if b.chance(0.4) else 1.0
    base = b.uniform(0.7, 1.0)
    profile = [(r * base, 0), (r * bulge, height * 0.4), (r, height)]
    b.add('body', lathe(smooth_curve(profile, 9), 20), paint)
    tip = [
        (r, height),
        (r * 0.82, height + 0.4 * nose),
        (r * 0.4, height + 0.8 * nose),
        (0.01, height + nose),
    ]
    cone = tip if b.chance(0.6) else [tip[0], tip[-1]]
    b.add('nose', lathe(cone, 20), trim)
    if b.chance(0.5):
        b.add('nose', bar((0, height + nose * 0.95, 0), (0, height + nose + 0.35, 0), 0.02), trim)
    fins = b.integer(3, 5)
    reach, tall, drop = (
        b.uniform(0.5, 1.1) * r + 0.1,
        height * b.uniform(0.14, 0.35),
        b.uniform(-0.1, 0.35),
    )
    shape = np.array(
        [
            (r * base * 0.8, tall),
            (r + reach, tall * b.uniform(0.1, 0.5)),
            (r + reach * b.uniform(0.8, 1), -drop),
            (r * base * 0.8, 0.02),
        ]
    )
    for n in range(fins):
        b.add('fin', extrude(shape, 0.05).rotate('y', 360 / fins * n), trim)
    b.count(fins, 'fin')
    metal = b.paint('metal')
    nozzle = lathe([(r * b.uniform(0.6, 0.85), -0.35 * r - 0.1), (r * 0.4, 0.05)], 16)
    b.add('engine', nozzle, metal)
    boosters = b.pick(0, 0, 2, 3, 4)
    size, long = r * b.uniform(0.4, 0.6), height * b.uniform(0.4, 0.65)
    for n in range(boosters):
        t = 2 * np.pi * (n + 0.5) / boosters
        x, z = (
            (r * max(bulge, 1) + size * 0.95) * np.cos(t),
            (r * max(bulge, 1) + size * 0.95) * np.sin(t),
        )
        side = lathe([(size, 0), (size, long), (0.02, long + 2 * size)], 14).move(x, -0.05, z)
        b.add('booster', side, paint)
        b.add('booster', cylinder(size * 0.8, 0.2, size * 0.4, 12).move(x, -0.12, z), metal)
    b.count(boosters, 'booster')
    if b.chance(0.4):
        for y in np.linspace(0.5, 0.85, b.integer(1, 3)) * height:
            edge = float(np.interp(y, [0, height * 0.4, height], [r * base, r * bulge, r]))
            b.add(
                'window', sphere(0.1, 10, 6).scale(z=0.4).move(0, y, edge - 0.01), b.paint('window')
            )
    if b.chance(0.4):
        for y in np.linspace(0.35, 0.9, b.integer(1, 3)) * height:
            edge = float(np.interp(y, [0, height * 0.4, height], [r * base, r * bulge, r]))
            b.add('body', torus(edge, 0.035, 20, 6).move(y=y), trim)
    b.call('slender' if height / r > 9 else 'stout')


def build_ship(b: Builder) -> None:
    """Hull with sails, a bridge and funnels, or containers; bow towards +z."""
    kind = b.pick('sailing', 'sailing', 'steam', 'container', 'fishing')
    length, beam_, deep = b.uniform(3.0, 5.0), b.uniform(0.75, 1.2), b.uniform(0.4, 0.75)
    if kind == 'container':
        length *= 1.2
    hull, deck, trim = b.paint('lacquer', 'wood'), b.paint('wood'), b.paint('lacquer')
    rise = b.uniform(0.1, 0.4)
    sections = []
    stern = b.uniform(0.5, 0.9)
    for s in np.linspace(-1, 1, 11):
        fullness = np.clip((1 - max(s, 0) ** 2.2), 0.03, 1) * (stern + (1 - stern) * min(1, s + 1))
        half, top = beam_ / 2 * fullness, rise * max(s, 0) ** 2 + 0.12 * rise * max(-s, 0)
        keel = -deep * (1 - 0.45 * max(s, 0) ** 3)
        z = s * length / 2
        sections.append(
            [
                (-half, top, z),
                (-half * 0.92, keel * 0.45, z),
                (-half * 0.35, keel, z - 0.1 * max(s, 0)),
                (half * 0.35, keel, z - 0.1 * max(s, 0)),
                (half * 0.92, keel * 0.45, z),
                (half, top, z),
            ]
        )
    b.add('hull', loft(np.array(sections)), hull)
    if kind == 'sailing':
        masts = b.integer(1, 3)
        cloth = b.paint('textile')
        square = b.chance(0.4)
        for n in range(masts):
            z = length * ((n + 0.5) / masts - 0.5) * 0.75 + 0.05 * length
            tall = length * b.uniform(0.55, 0.85) / (1 + 0.12 * masts)
            b.add('mast', bar((0, -0.1, z), (0, tall, z), 0.04, 0.025), deck)
            if square:
                for low, high in ((0.2, 0.52), (0.57, 0.85)):
                    w = beam_ * (1.15 - 0.5 * low)
                    arc = smooth_curve([(-w / 2, 0), (0, 0.16), (w / 2, 0)], 7)
                    outline = np.concatenate([arc, arc[::-1] - [0, 0.02]])
                    sail = extrude(outline, (high - low) * tall).rotate('x', 90)
                    b.add('sail', sail.move(0, (low + high) / 2 * tall, z), cloth)
                    b.add(
                        'mast',
                        bar((-w * 0.55, high * tall, z), (w * 0.55, high * tall, z), 0.022),
                        deck,
                    )
            else:
                boom = min(0.42 * length, 0.95 * length / masts * 0.55)
                main = np.array([(0.04, 0.14 * tall), (boom, 0.16 * tall), (0.04, 0.97 * tall)])
                b.add('sail', extrude(main, 0.02).rotate('y', 90).move(z=z), cloth)
                b.add('mast', bar((0, 0.13 * tall, z), (0, 0.14 * tall, z - boom), 0.022), deck)
        if not square and b.chance(0.7):
            z = length * (0.5 / masts + (masts - 1) / masts - 0.5) * 0.75 + 0.05 * length
            jib = np.array(
                [
                    (-0.05, 0.85 * tall),
                    (-(length / 2 - z) * 0.92, 0.12 + rise),
                    (-0.05, 0.16 * tall),
                ]
            )
            b.add('sail', extrude(jib, 0.02).rotate('y', 90).move(z=z), cloth)
        b.count(masts, 'mast')
        b.name('sailing ship')
    else:
        back = -length * (0.36 if kind == 'container' else 0.1 if kind == 'steam' else -0.12)
        levels = b.integer(1, 3) if kind != 'fishing' else 1
        wide, long = (
            beam_ * 0.72,
            length * (0.14 if kind == 'container' else 0.42 if kind == 'steam' else 0.2),
        )
        white = b.paint('light')
        y = 0.0
        for n in range(levels + (kind == 'container')):
            shrink = 1 - 0.14 * n
            step = 0.22 if kind != 'fishing' else 0.4
            b.add(
                'bridge',
                box(wide * shrink, step + 0.02, long * shrink).move(0, y + step / 2, back),
                white,
            )
            b.add(
                'window',
                box(wide * shrink * 1.02, step * 0.35, long * shrink * 1.02).move(
                    0, y + step * 0.6, back
                ),
                b.paint('window'),
            )
            y += step
        if kind == 'steam':
            funnels = b.integer(1, 4)
            for s in np.linspace(-0.32, 0.32, funnels) if funnels > 1 else (0,):
                pipe = cylinder(0.09, 0.5, 0.08, 12).rotate('x', -8)
                b.add('funnel', pipe.move(0, y + 0.22, back + s * long * (1 - 0.14 * levels)), trim)
            b.count(funnels, 'funnel')
        elif kind == 'container':
            rows, start = b.integer(3, 6), back + long * 0.75
            step = (length * 0.42 - start) / rows
            for n in range(rows):
                for sx in (-1, 0, 1):
                    for level in range(b.integer(0, 3)):
                        crate = box(beam_ * 0.27, 0.2, step * 0.9)
                        at = (sx * beam_ * 0.28, 0.11 + 0.21 * level, start + (n + 0.5) * step)
                        b.add('cargo', crate.move(*at), b.paint('lacquer'))
            b.name('container ship')
        else:
            mast = -length * 0.2
            b.add('mast', bar((0, -0.1, mast), (0, 1.1, mast), 0.035), trim)
            b.add('mast', bar((0, 0.3, mast), (0, 0.9, mast - length * 0.22), 0.025), trim)
            b.name('fishing ship')
            b.say('a crane')
        b.add(
            'mast',
            bar((0, 0, length * 0.3), (0, 0.75, length * 0.3), 0.03, 0.015),
            trim,
            optional=0.3,
        )
    b.add(
        'rail',
        box(beam_ * 0.5, 0.06, 0.04).move(0, 0.12 * rise + 0.05, -length * 0.47),
        deck,
        optional=0.5,
    )


CATEGORIES = (
    Category(
        'airplane',
        '90000033',
        ('fuselage', 'wing', 'tail', 'engine', 'propeller', 'cockpit', 'gear'),
        build_airplane,
        ('aircraft', 'plane'),
    ),
    Category(
        'rocket',
        '90000034',
        ('body', 'nose', 'fin', 'engine', 'booster', 'window'),
        build_rocket,
    ),
    Category(
        'ship',
        '90000035',
        ('hull', 'mast', 'sail', 'bridge', 'window', 'funnel', 'cargo', 'rail'),
        build_ship,
        ('boat', 'vessel'),
    ),
)
