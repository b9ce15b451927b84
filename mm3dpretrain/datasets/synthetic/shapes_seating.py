"""Chair, stool, bench, sofa."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Box, Builder, Category, add_legs
from mm3dpretrain.datasets.synthetic.palette import Paint
from mm3dpretrain.datasets.synthetic.primitives import (
    bar,
    beam,
    box,
    cushion,
    cylinder,
    smooth_curve,
    tube,
)


def _seat(b: Builder, width: float, depth: float, y: float, paint: Paint, round_: bool) -> float:
    """Add a seat whose underside is at y; returns its top."""
    thick = b.uniform(0.03, 0.1)
    if round_:
        mesh = cylinder(0.5, thick, b.uniform(0.42, 0.5), 24).scale(width, 1, depth)
    elif b.chance(0.5):
        mesh = box(width, thick, depth)
    else:
        mesh = cushion(width, thick, depth, b.uniform(0.15, 0.35), 20)
    b.add('seat', mesh.move(y=y + thick / 2), paint)
    return y + thick


def _back(b: Builder, width: float, depth: float, y: float, height: float, paint: Paint) -> None:
    """Add a back rest that starts on a seat at height y, leaning backwards."""
    style = b.pick('solid', 'slats', 'bars', 'ladder', 'hoop', 'padded')
    lean = b.uniform(0, 0.25) * height
    z = -depth / 2 + 0.03
    top = z - lean
    x = width / 2 - 0.03
    r = b.uniform(0.014, 0.028)

    def at(share: float) -> tuple[float, float]:
        return y + share * height, z + share * (top - z)

    if style in ('solid', 'padded'):
        low = b.uniform(0.0, 0.3)
        if low > 0.05:
            for sx in (-0.7, 0.7):
                b.add(
                    'back',
                    beam((sx * x, y - 0.02, z), (sx * x, *at(low + 0.1)), 2 * r, 2 * r),
                    paint,
                )
        angle = -np.degrees(np.arctan2(lean, height))
        tall = height * (1 - low) * np.hypot(1, lean / height)
        thick = b.uniform(0.02, 0.05) if style == 'solid' else b.uniform(0.08, 0.13)
        panel = box(width, tall, thick)
        if style == 'padded':
            panel = cushion(width, tall, thick, b.uniform(0.2, 0.5), 16)
        middle = at((1 + low) / 2)
        b.add('back', panel.rotate('x', angle).move(0, *middle), paint)
        b.say('a solid back' if style == 'solid' else 'a padded back')
        return
    if style == 'hoop':
        arc = [(-x, y, z), (-x, *at(0.6)), (-0.5 * x, *at(0.95)), (0, *at(1))]
        arc += [(-px, py, pz) for px, py, pz in arc[-2::-1]]
        b.add('back', tube(smooth_curve(arc, 20), r), paint)
        spindles = b.integer(3, 6)
        for s in np.linspace(-0.6, 0.6, spindles):
            b.add(
                'back',
                bar((s * x, y, z), (s * x, *at(0.9 - 0.35 * s * s)), r * 0.5, segments=6),
                paint,
            )
        b.say('a round back')
        return
    for sx in (-1, 1):
        b.add('back', beam((sx * x, y - 0.02, z), (sx * x, *at(1.0)), 2 * r, 2 * r), paint)
    if style == 'ladder':
        rungs = b.integer(2, 5)
        for share in np.linspace(0.3, 0.92, rungs):
            b.add('back', box(2 * x, 0.06, r).move(0, *at(share)), paint)
        b.count(rungs, 'rail in the back', 'rails in the back')
        return
    b.add('back', box(2 * x + 2 * r, 0.05, 2.2 * r).move(0, *at(0.95)), paint)
    bars = b.integer(3, 8)
    for s in np.linspace(-0.8, 0.8, bars):
        foot, head = (s * x, y - 0.01, z), (s * x, *at(0.93))
        b.add(
            'back',
            beam(foot, head, 0.04, r) if style == 'slats' else bar(foot, head, r * 0.6),
            paint,
        )
    b.say('a slatted back' if style == 'slats' else 'a barred back')


def _arms(b: Builder, width: float, depth: float, y: float, paint: Paint) -> None:
    """Add two arm rests above a seat at height y."""
    rise = b.uniform(0.16, 0.26)
    r = b.uniform(0.015, 0.03)
    style = b.pick('bar', 'board', 'panel')
    for sx in (-1, 1):
        x = sx * (width / 2 - r)
        if style == 'panel':
            b.add(
                'arm', box(2 * r, rise + 0.03, depth * 0.9).move(x, y + rise / 2 - 0.015, 0), paint
            )
            continue
        front = (x, y - 0.02, depth * 0.35)
        b.add('arm', bar(front, (x, y + rise, depth * 0.35), r), paint)
        rest = box(2.5 * r, 0.03, depth) if style == 'board' else None
        if rest is None:
            rest = bar((0, 0, -depth / 2), (0, 0, depth * 0.4), r)
        b.add('arm', rest.move(x, y + rise, 0), paint)
        b.add('arm', bar((x, y - 0.02, -depth * 0.42), (x, y + rise, -depth * 0.42), r), paint)
    b.say('armrests')


def build_chair(b: Builder) -> None:
    """Seat with a back for one person; legs, column or sled; with or without arms."""
    width, depth = b.uniform(0.4, 0.62), b.uniform(0.38, 0.58)
    frame = b.paint('wood', 'painted wood', 'metal', 'plastic')
    cover = frame if b.chance(0.45) else b.paint('fabric', 'leather', 'wood')
    height = b.uniform(0.3, 0.55)
    round_ = b.chance(0.25)
    top = _seat(b, width, depth, height, cover, round_)
    if round_:  # what stands at the corners must stand under, or on, the round seat
        width, depth = 0.74 * width, 0.74 * depth
    add_legs(b, 'leg', Box(width, depth, height + 0.01), frame)
    back_height = b.uniform(0.28, 0.75)
    _back(b, width, depth, top, back_height, cover if b.chance(0.6) else frame)
    if b.chance(0.4):
        _arms(b, width, depth, top, frame)
    if back_height > 0.62:
        b.call('high-backed')


def build_stool(b: Builder) -> None:
    """Seat for one person; sometimes a low back."""
    width = b.uniform(0.3, 0.46)
    depth = width * b.uniform(0.8, 1.1)
    frame = b.paint('wood', 'painted wood', 'metal')
    cover = frame if b.chance(0.5) else b.paint('leather', 'fabric', 'plastic')
    height = b.uniform(0.28, 0.85)
    round_ = b.chance(0.6)
    top = _seat(b, width, depth, height, cover, round_)
    inset = 0.78 if round_ else 1.0
    add_legs(b, 'leg', Box(inset * width, inset * depth, height + 0.01), frame, thickness=0.05)
    if round_:
        b.say('a round seat')
    if height > 0.62:
        b.call('tall')
    if b.chance(0.2):
        arc = [
            (-0.45 * width, 0, -0.3 * depth),
            (0, 0, -0.5 * depth),
            (0.45 * width, 0, -0.3 * depth),
        ]
        rise = b.uniform(0.08, 0.16)
        b.add('back', tube(smooth_curve(arc, 10), 0.025).move(y=top + rise), cover)
        for x, _, z in arc:
            b.add('back', bar((0.95 * x, top - 0.02, 0.9 * z), (x, top + rise, z), 0.012), frame)
        b.say('a low backrest')


def build_bench(b: Builder) -> None:
    """Long seat of boards for several people; with or without a back and arms."""
    width, depth = b.uniform(0.85, 1.7), b.uniform(0.32, 0.5)
    wood = b.paint('wood', 'painted wood')
    frame = wood if b.chance(0.5) else b.paint('metal')
    height = b.uniform(0.3, 0.5)
    boards = b.integer(1, 5)
    pitch = depth / boards
    for n in range(boards):
        board = box(width, 0.035, pitch * (1.0 if boards == 1 else 0.82))
        b.add('seat', board.move(0, height, -depth / 2 + (n + 0.5) * pitch), wood)
    b.count(boards, 'seat board')
    supports = b.integer(2, 3)
    slab = b.chance(0.35)
    for x in np.linspace(-0.42, 0.42, supports) * width:
        if slab:
            b.add('leg', box(0.06, height, depth * 0.9).move(x, height / 2, 0), frame)
            continue
        for sz in (-1, 1):
            foot = (x, 0, sz * depth * 0.42)
            b.add('leg', beam(foot, (x, height, sz * depth * 0.36), 0.05, 0.05), frame)
        b.add('leg', box(0.04, 0.04, depth * 0.8).move(x, height - 0.03, 0), frame)
    if b.chance(0.5):
        rise, lean = b.uniform(0.28, 0.45), b.uniform(0.02, 0.12)
        z = -depth / 2
        for x in np.linspace(-0.42, 0.42, supports) * width:
            b.add(
                'back', beam((x, height - 0.05, z), (x, height + rise, z - lean), 0.05, 0.04), frame
            )
        rails = b.integer(1, 4)
        for s in np.linspace(0.35, 0.92, rails) if rails > 1 else (0.7,):
            rail = box(width, min(0.5 * rise / rails + 0.03, 0.2), 0.03)
            b.add('back', rail.move(0, height + s * rise, z - s * lean + 0.02), wood)
        b.say('a backrest')
        if b.chance(0.5):
            for sx in (-1, 1):
                x = sx * 0.46 * width
                b.add('arm', box(0.06, 0.03, depth).move(x, height + 0.2, 0), frame)
                b.add(
                    'arm',
                    beam((x, height, depth * 0.4), (x, height + 0.2, depth * 0.4), 0.04, 0.04),
                    frame,
                )
                b.add(
                    'arm',
                    beam((x, height, -depth * 0.46), (x, height + 0.2, -depth * 0.46), 0.04, 0.04),
                    frame,
                )
            b.say('armrests')
    else:
        b.call('backless')
    b.call('long' if width > 1.35 else 'short')


def build_sofa(b: Builder) -> None:
    """Upholstered seat with a thick back and arms, one to four places."""
    places = b.integer(1, 4)
    depth = b.uniform(0.7, 0.95)
    arm = b.uniform(0.1, 0.25)
    inner = places * b.uniform(0.5, 0.65)
    width = inner + 2 * arm
    base, foot = b.uniform(0.18, 0.3), b.uniform(0.03, 0.14)
    cover = b.paint('fabric', 'leather')
    feet = b.paint('wood', 'metal')
    b.add('base', box(inner + 0.02, base, depth).move(0, foot + base / 2, 0), cover)
    seat = b.uniform(0.1, 0.2)
    back_depth, back_height = b.uniform(0.14, 0.24), b.uniform(0.35, 0.6)
    y = foot + base
    soft = b.uniform(0.15, 0.4)
    for n in range(places):
        x = -inner / 2 + (n + 0.5) * inner / places
        size = (inner / places * 0.98, seat, depth - back_depth)
        b.add('seat', cushion(*size, soft, 16).move(x, y + seat / 2 - 0.01, back_depth / 2), cover)
    b.add(
        'back',
        box(inner + 0.02, back_height, back_depth).move(
            0, y + back_height / 2, -(depth - back_depth) / 2
        ),
        cover,
    )
    if b.chance(0.6):
        for n in range(places):
            x = -inner / 2 + (n + 0.5) * inner / places
            size = (inner / places * 0.96, back_height * 0.85, 0.16)
            pad = cushion(*size, soft, 16).rotate('x', -10)
            b.add(
                'back',
                pad.move(x, y + seat + back_height * 0.38, -depth / 2 + back_depth + 0.05),
                cover,
            )
        b.say('back cushions')
    if b.chance(0.85):
        rise = b.uniform(0.12, 0.35)
        rolled = b.chance(0.4)
        for sx in (-1, 1):
            x = sx * (inner + arm) / 2
            tall = foot + base + rise
            b.add('arm', box(arm, tall - foot, depth).move(x, (tall + foot) / 2, 0), cover)
            if rolled:
                roll = cylinder(arm * 0.62, depth + 0.01, segments=16, axis='z')
                b.add('arm', roll.move(x, tall - 0.02, 0), cover)
        b.say('rolled arms' if rolled else 'wide arms')
    else:
        b.call('armless')
    if b.chance(0.4):
        pillow = b.paint('textile')
        for sx in [-1, 1][: b.integer(1, 2)]:
            p = cushion(0.4, 0.4, 0.13, 0.6, 14).rotate('x', -20)
            b.add(
                'pillow',
                p.move(sx * inner * 0.33, y + seat + 0.17, -depth / 2 + back_depth + 0.13),
                pillow,
            )
        b.say(f'{pillow.color} pillows' if sx == 1 else f'a {pillow.color} pillow')
    for sx in (-1, 1):
        for sz in (-1, 1):
            leg = cylinder(0.025, foot + 0.02, 0.035, 10)
            b.add('leg', leg.move(sx * (width / 2 - 0.12), foot / 2, sz * (depth / 2 - 0.08)), feet)
    b.count(places, 'seat')


CATEGORIES = (
    Category('chair', '90000001', ('seat', 'back', 'leg', 'arm'), build_chair, ('seat',)),
    Category('stool', '90000002', ('seat', 'leg', 'back'), build_stool),
    Category('bench', '90000003', ('seat', 'leg', 'back', 'arm'), build_bench),
    Category(
        'sofa', '90000004', ('base', 'seat', 'back', 'arm', 'leg', 'pillow'), build_sofa, ('couch',)
    ),
)
