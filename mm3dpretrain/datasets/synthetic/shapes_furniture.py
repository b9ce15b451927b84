"""Table, desk, bed, piano, bookshelf, cabinet."""

from __future__ import annotations

import numpy as np

from mm3dpretrain.datasets.synthetic.builder import Box, Builder, Category, add_legs
from mm3dpretrain.datasets.synthetic.palette import Paint
from mm3dpretrain.datasets.synthetic.primitives import (
    bar,
    box,
    cushion,
    cylinder,
    extrude,
    lathe,
    smooth_curve,
    sphere,
    torus,
)


def _knob(b: Builder, part: str, x: float, y: float, z: float, style: str, paint: Paint) -> None:
    """Add a handle to a front at depth z."""
    if style == 'knob':
        b.add(part, sphere(0.022, 8, 5).move(x, y, z + 0.015), paint)
    elif style == 'bar':
        b.add(part, bar((x - 0.06, y, z + 0.025), (x + 0.06, y, z + 0.025), 0.01), paint)
        for dx in (-0.05, 0.05):
            b.add(part, bar((x + dx, y, z - 0.005), (x + dx, y, z + 0.025), 0.007), paint)
    elif style == 'ring':
        b.add(part, torus(0.03, 0.008, 12, 6).rotate('x', 90).move(x, y - 0.02, z + 0.012), paint)


def _drawers(
    b: Builder, x: float, y: float, z: float, width: float, height: float, rows: int, paint: Paint
) -> None:
    """Add drawer fronts, from the top y downwards, on a front at depth z."""
    metal = b.paint('metal', 'brass')
    style = b.pick('knob', 'bar', 'ring', 'none')
    step = height / rows
    for row in range(rows):
        middle = y - (row + 0.5) * step
        b.add('drawer', box(width * 0.92, step * 0.85, 0.03).move(x, middle, z + 0.005), paint)
        _knob(b, 'handle', x, middle, z + 0.018, style, metal)


def build_table(b: Builder) -> None:
    """Top of any outline on legs, trestles or a column."""
    width, depth = b.uniform(0.6, 1.7), b.uniform(0.55, 0.95)
    height, thick = b.uniform(0.38, 0.8), b.uniform(0.025, 0.07)
    outline = b.pick('rectangular', 'rectangular', 'round', 'oval', 'hexagonal')
    wood = b.paint('wood', 'painted wood', 'glass')
    frame = wood if b.chance(0.5) and wood.material != 'glass' else b.paint('wood', 'metal')
    if outline == 'rectangular':
        top = box(width, thick, depth)
    else:
        width = depth if outline != 'oval' else max(width, depth * 1.3)
        sides = 6 if outline == 'hexagonal' else 28
        top = cylinder(0.5, thick, segments=sides).scale(width, 1, depth)
    b.add('top', top.move(y=height + thick / 2), wood)
    if outline == 'rectangular' and b.chance(0.25):
        for sx in (-0.36, 0.36):
            x = sx * width
            for sz in (-1, 1):
                foot, head = (x, 0, sz * depth * 0.42), (x, height + 0.005, -sz * depth * 0.35)
                b.add('leg', bar(foot, head, 0.03), frame)
        b.add(
            'leg', bar((-0.36 * width, height / 2, 0), (0.36 * width, height / 2, 0), 0.02), frame
        )
        b.say('crossed legs')
    else:
        inset = 1.0 if outline == 'rectangular' else 0.72
        under = Box(width * inset, depth * inset, height + 0.005)
        style = add_legs(b, 'leg', under, frame, thickness=b.uniform(0.06, 0.1))
        if outline == 'rectangular' and style in ('square', 'turned', 'tapered') and b.chance(0.6):
            skirt = b.uniform(0.05, 0.11)
            for sz in (-1, 1):
                side = box(width * 0.86, skirt, 0.02)
                b.add('apron', side.move(0, height - skirt / 2, sz * depth * 0.42), frame)
            for sx in (-1, 1):
                side = box(0.02, skirt, depth * 0.84)
                b.add('apron', side.move(sx * width * 0.43, height - skirt / 2, 0), frame)
    b.call(outline)
    if height < 0.5:
        b.call('low')
    if b.chance(0.2):
        shelf = box(width * 0.86, 0.02, depth * 0.86) if outline == 'rectangular' else None
        shelf = shelf or cylinder(0.44 * depth, 0.02, segments=20)
        b.add('shelf', shelf.move(y=height * b.uniform(0.25, 0.45)), wood)
        b.say('a lower shelf')


def build_desk(b: Builder) -> None:
    """Rectangular working top with drawers, panels or a shelf on it."""
    width, depth = b.uniform(1.0, 1.7), b.uniform(0.5, 0.8)
    height, thick = b.uniform(0.6, 0.8), b.uniform(0.025, 0.05)
    wood = b.paint('wood', 'painted wood')
    front = wood if b.chance(0.6) else b.paint('wood', 'painted wood')
    b.add('top', box(width, thick, depth).move(y=height + thick / 2), wood)
    block = b.uniform(0.32, 0.44)
    pedestals = b.pick(0, 1, 1, 2)
    sides = [[], [b.pick(-1, 1)], [-1, 1]][pedestals]
    rows = b.integer(2, 4)
    for sx in (-1, 1):
        x = sx * (width - block) / 2
        if sx in sides:
            low = 0.0 if b.chance(0.6) else b.uniform(0.05, 0.15)
            body = box(block, height - low, depth * 0.94)
            b.add('body', body.move(x, (height + low) / 2, 0), wood)
            _drawers(b, x, height, depth * 0.47, block, height - low, rows, front)
            if low:
                for dx in (-0.4, 0.4):
                    for dz in (-0.4, 0.4):
                        leg = cylinder(0.02, low + 0.02).move(x + dx * block, low / 2, dz * depth)
                        b.add('leg', leg, wood)
        elif b.chance(0.5):
            b.add(
                'leg',
                box(0.035, height, depth * 0.94).move(sx * (width / 2 - 0.03), height / 2),
                wood,
            )
        else:
            for sz in (-1, 1):
                leg = box(0.05, height, 0.05)
                b.add(
                    'leg',
                    leg.move(sx * (width / 2 - 0.05), height / 2, sz * (depth / 2 - 0.05)),
                    wood,
                )
    if pedestals:
        b.count(rows * pedestals, 'drawer')
    else:
        drawer = b.uniform(0.07, 0.12)
        b.add('body', box(width * 0.88, drawer, depth * 0.86).move(y=height - drawer / 2), wood)
        count = b.integer(1, 3)
        for n in range(count):
            x = width * 0.88 * ((n + 0.5) / count - 0.5)
            _drawers(b, x, height, depth * 0.43, width * 0.88 / count, drawer, 1, front)
        b.count(count, 'drawer')
    if b.chance(0.5):
        panel = b.uniform(0.25, 0.6) * height
        b.add(
            'panel', box(width * 0.9, panel, 0.02).move(0, height - panel / 2, -depth * 0.44), wood
        )
        b.say('a back panel')
    if b.chance(0.35):
        rise, deep = b.uniform(0.2, 0.42), b.uniform(0.16, 0.24)
        z = -(depth - deep) / 2
        y = height + thick
        b.add('hutch', box(width, 0.02, deep).move(0, y + rise, z), wood)
        posts = b.integer(2, 4)
        for s in np.linspace(-0.5, 0.5, posts):
            b.add('hutch', box(0.02, rise, deep).move(s * (width - 0.02), y + rise / 2, z), wood)
        b.say('a shelf on top')


def build_bed(b: Builder) -> None:
    """Mattress on a frame; headboard, footboard, pillows, posts, bunk."""
    width, length = b.uniform(0.85, 1.8), b.uniform(1.85, 2.15)
    lift, rail = b.uniform(0.08, 0.3), b.uniform(0.12, 0.25)
    wood = b.paint('wood', 'painted wood', 'metal')
    sheet, cover = b.paint('textile'), b.paint('textile')
    levels = 2 if width < 1.15 and b.chance(0.4) else 1
    tall = b.uniform(0.95, 1.15)
    mattress = b.uniform(0.14, 0.26)
    post = b.uniform(0.03, 0.05)
    for level in range(levels):
        y = lift + level * tall
        b.add('frame', box(width, rail, length).move(y=y + rail / 2), wood)
        top = y + rail + mattress
        soft = cushion(width * 0.96, mattress, length * 0.96, 0.2, 16)
        b.add('mattress', soft.move(y=y + rail + mattress / 2 - 0.02), sheet)
        if b.chance(0.6):
            blanket = cushion(width * 1.02, mattress * 0.9, length * 0.6, 0.2, 16)
            b.add('blanket', blanket.move(0, y + rail + mattress * 0.62, length * 0.19), cover)
        pillows = 1 if width < 1.2 else 2
        for n in range(pillows):
            x = 0.0 if pillows == 1 else (n - 0.5) * width * 0.46
            pillow = cushion(min(0.62, width * 0.42), 0.12, 0.36, 0.6, 14)
            b.add('pillow', pillow.move(x, top + 0.03, -length / 2 + 0.26), sheet)
    b.count(pillows, 'pillow')
    high = lift + (levels - 1) * tall + rail + mattress
    head = high + b.uniform(0.2, 0.65)
    foot = high + b.uniform(-0.05, 0.3) if b.chance(0.5) or levels == 2 else 0.0
    canopy = levels == 1 and b.chance(0.15)
    boards = [(-1, head)] + ([(1, foot)] if foot else [])
    style = b.pick('solid', 'bars', 'curved')
    for sz, top in boards:
        z = sz * (length / 2 + 0.02)
        board = top - lift
        if style == 'bars' or levels == 2:
            b.add(
                'headboard' if sz < 0 else 'footboard',
                bar((-width / 2, top, z), (width / 2, top, z), 0.025),
                wood,
            )
            for x in np.linspace(-0.5, 0.5, b.integer(4, 8)) * (width - 0.04):
                b.add(
                    'headboard' if sz < 0 else 'footboard',
                    bar((x, lift, z), (x, top, z), 0.015, segments=6),
                    wood,
                )
        elif style == 'curved':
            arch = smooth_curve(
                [
                    (-width / 2, top * 0.8),
                    (-width / 4, top * 0.97),
                    (width / 4, top * 0.97),
                    (width / 2, top * 0.8),
                ],
                12,
            )
            outline = np.concatenate([arch, [(width / 2, lift), (-width / 2, lift)]])
            b.add('headboard' if sz < 0 else 'footboard', extrude(outline, 0.05).move(z=z), wood)
        else:
            b.add(
                'headboard' if sz < 0 else 'footboard',
                box(width, board, 0.05).move(0, lift + board / 2, z),
                wood,
            )
    posts = canopy or levels == 2
    roof = high + 1.1 if canopy else max(head, foot)
    for sx in (-1, 1):
        for sz in (-1, 1):
            top = roof if posts else lift + 0.02
            x, z = sx * (width / 2 - post), sz * (length / 2 - post)
            b.add('leg', bar((x, 0, z), (x, top, z), post), wood)
    if canopy:
        for sx in (-1, 1):
            x, z = width / 2 - post, length / 2 - post
            b.add('leg', bar((sx * x, roof - post, -z), (sx * x, roof - post, z), post * 0.8), wood)
            b.add('leg', bar((-x, roof - post, sx * z), (x, roof - post, sx * z), post * 0.8), wood)
        b.say('four posts')
    if levels == 2:
        x, z = width / 2 + 0.02, length * 0.32
        for dz in (-0.16, 0.16):
            b.add('ladder', bar((x, 0, z + dz), (x, high, z + dz), 0.02), wood)
        for y in np.linspace(0.2, 0.95, 5) * high:
            b.add('ladder', bar((x, y, z - 0.16), (x, y, z + 0.16), 0.014, segments=6), wood)
        b.name('bunk bed')
        b.say('a ladder')
    else:
        b.name('double bed' if width > 1.3 else 'single bed')
    b.say('a headboard')
    if foot:
        b.say('a footboard')


def build_piano(b: Builder) -> None:
    """Upright or grand piano with keys and pedals."""
    wood = b.paint('wood', 'painted wood')
    ivory, ebony = b.paint('light'), b.paint('rubber')
    width = b.uniform(1.35, 1.55)
    bed = b.uniform(0.6, 0.7)
    grand = b.chance(0.45)
    if grand:
        length = b.uniform(1.2, 1.8)
        case = b.uniform(0.22, 0.32)
        half = width / 2
        curve = smooth_curve(
            [
                (half, -0.35 * length),
                (half * 0.55, -0.62 * length),
                (0.0, -0.85 * length),
                (-half * 0.45, -length),
                (-half * 0.85, -0.98 * length),
                (-half, -0.85 * length),
            ],
            14,
        )
        outline = np.concatenate([curve, [(-half, 0), (half, 0)]])
        rim = extrude(outline, case).rotate('x', 90).scale(z=1).move(y=bed + case / 2)
        rim = rim.scale(z=-1) if rim.vertices[:, 2].mean() > 0 else rim
        b.add('body', rim, wood)
        if b.chance(0.7):
            lid = extrude(outline * [1, 1], 0.02).rotate('x', 90)
            lid = lid.scale(z=-1) if lid.vertices[:, 2].mean() > 0 else lid
            tilt = b.uniform(15, 40)
            lid = lid.move(x=half).rotate('z', tilt).move(x=-half, y=bed + case + 0.01)
            b.add('lid', lid, wood)
            prop = 0.62 * width
            x = -half + prop
            b.add(
                'lid',
                bar(
                    (x, bed + case, -0.3),
                    (x, bed + case + prop * np.tan(np.radians(tilt)), -0.3),
                    0.012,
                ),
                wood,
            )
            b.say('an open lid')
        for x, z in ((-half * 0.8, -0.1), (half * 0.8, -0.1), (-half * 0.35, -length * 0.85)):
            profile = [(0.03, 0), (0.045, 0.1), (0.06, bed * 0.6), (0.08, bed + 0.01)]
            b.add('leg', lathe(profile, 10).move(x, 0, z), wood)
        b.add('pedal', box(0.16, bed, 0.05).move(0, bed / 2, -0.25), wood)
        b.name('grand piano')
        front = 0.0
    else:
        height, depth = b.uniform(1.05, 1.35), b.uniform(0.32, 0.42)
        b.add('body', box(width, height, depth).move(0, height / 2, -depth / 2), wood)
        b.add('lid', box(width + 0.04, 0.03, depth + 0.04).move(0, height, -depth / 2), wood)
        for sx in (-1, 1):
            x = sx * (width / 2 - 0.04)
            b.add('leg', box(0.07, bed, 0.07).move(x, bed / 2, 0.24), wood, optional=0.3)
            b.add('body', box(0.06, 0.18, 0.3).move(x, bed + 0.07, 0.14), wood)
        if b.chance(0.5):
            b.add(
                'stand',
                box(width * 0.5, 0.22, 0.02).rotate('x', -15).move(0, bed + 0.3, 0.05),
                wood,
            )
            b.say('a music stand')
        b.name('upright piano')
        front = 0.28
    keys = b.uniform(0.9, 0.94) * width
    b.add('body', box(keys + 0.04, 0.08, 0.3).move(0, bed + 0.0, front - 0.14), wood)
    b.add('keys', box(keys, 0.03, 0.16).move(0, bed + 0.05, front - 0.06 + 0.02), ivory)
    for x in np.linspace(-0.47, 0.47, 15) * keys:
        b.add('keys', box(0.022, 0.02, 0.09).move(x, bed + 0.072, front - 0.08), ebony)
    if b.chance(0.5):
        y, z = b.uniform(0.42, 0.5), front + b.uniform(0.35, 0.5)
        b.add('bench', box(0.6, 0.06, 0.32).move(0, y, z), wood)
        for sx in (-1, 1):
            for sz in (-1, 1):
                b.add(
                    'bench',
                    bar((sx * 0.26, 0, z + sz * 0.13), (sx * 0.26, y, z + sz * 0.13), 0.022),
                    wood,
                )
        b.say('a bench')


def build_bookshelf(b: Builder) -> None:
    """Open boards between uprights, with or without a back and books."""
    width, height, depth = b.uniform(0.5, 1.4), b.uniform(0.7, 2.0), b.uniform(0.22, 0.4)
    wood = b.paint('wood', 'painted wood', 'metal')
    shelves, columns = b.integer(2, 6), b.integer(1, 3) if width > 0.8 else 1
    board = b.uniform(0.018, 0.04)
    lift = b.uniform(0, 0.1)
    open_frame = b.chance(0.3)
    levels = np.linspace(lift + board / 2, height - board / 2, shelves + 1)
    for y in levels:
        b.add('shelf', box(width, board, depth).move(y=y), wood)
    xs = np.linspace(-0.5, 0.5, columns + 1) * (width - board)
    for n, x in enumerate(xs):
        if open_frame:
            for sz in (-1, 1):
                b.add(
                    'side',
                    bar((x, 0, sz * depth * 0.45), (x, height, sz * depth * 0.45), 0.018),
                    wood,
                )
        elif 0 < n < columns or b.chance(0.97):
            low = 0 if n in (0, columns) else levels[0]
            b.add('side', box(board, height - low, depth).move(x, (height + low) / 2, 0), wood)
    if not open_frame and b.chance(0.65):
        back = box(width, height - lift, 0.012)
        b.add('back', back.move(0, (height + lift) / 2, -depth / 2 + 0.006), wood)
    b.count(shelves, 'compartment' if columns == 1 else 'row')
    if columns > 1:
        b.count(columns, 'column')
    if b.chance(0.6):
        cell = (levels[1] - levels[0]) - board
        for y in levels[:-1]:
            for n in range(columns):
                x, stop = xs[n] + 0.03, xs[n] + (xs[n + 1] - xs[n]) * b.uniform(0.2, 0.95)
                while x < stop - 0.06:
                    thick = b.uniform(0.03, 0.07)
                    tall = cell * b.uniform(0.55, 0.92)
                    book = box(thick * 0.95, tall, depth * b.uniform(0.55, 0.8))
                    b.add(
                        'book',
                        book.move(x + thick / 2, y + board / 2 + tall / 2, 0),
                        b.paint('plastic'),
                    )
                    x += thick
        if any(piece[1] == b.category.parts.index('book') for piece in b.pieces):
            b.say('books')
    b.call('tall' if height > 1.5 else 'low' if height < 1.0 else 'open')


def build_cabinet(b: Builder) -> None:
    """Closed box with doors or drawers on legs, a plinth or wheels."""
    width, height, depth = b.uniform(0.45, 1.4), b.uniform(0.55, 1.8), b.uniform(0.35, 0.55)
    wood = b.paint('wood', 'painted wood', 'metal')
    front = wood if b.chance(0.5) else b.paint('wood', 'painted wood')
    base = b.pick('legs', 'plinth', 'none')
    lift = b.uniform(0.08, 0.25) if base == 'legs' else 0.06 if base == 'plinth' else 0.0
    b.add('body', box(width, height - lift, depth).move(y=(height + lift) / 2), wood)
    if base == 'legs':
        under = Box(width, depth, lift + 0.01)
        add_legs(b, 'leg', under, wood, ('round', 'tapered', 'square'), 0.05)
    elif base == 'plinth':
        b.add('leg', box(width * 0.92, lift, depth * 0.9).move(y=lift / 2), wood)
    if b.chance(0.5):
        b.add('top', box(width * 1.06, 0.035, depth * 1.1).move(y=height + 0.017), wood)
    kind = b.pick('doors', 'drawers', 'both')
    columns = 1 if width < 0.65 else b.integer(2, 3)
    rows = b.integer(2, 5)
    inner = height - lift
    share = {'doors': 1.0, 'drawers': 0.0, 'both': b.uniform(0.45, 0.65)}[kind]
    metal, style = b.paint('metal', 'brass'), b.pick('knob', 'bar', 'ring')
    step = width / columns
    for n in range(columns):
        x = -width / 2 + (n + 0.5) * step
        if share:
            door = box(step * 0.94, inner * share * 0.95, 0.03)
            y = lift + inner * share / 2
            b.add('door', door.move(x, y, depth / 2), front)
            side = 1 if n % 2 == 0 else -1
            _knob(b, 'handle', x + side * step * 0.36, y, depth / 2 + 0.013, style, metal)
        if share < 1:
            count = rows if kind == 'drawers' else 1
            _drawers(b, x, height, depth / 2, step, inner * (1 - share) * 0.98, count, front)
    if share:
        b.count(columns, 'door')
    if share < 1:
        b.count(columns * (rows if kind == 'drawers' else 1), 'drawer')
    b.call('tall' if height > 1.3 else 'low' if height < 0.8 else 'closed')


CATEGORIES = (
    Category('table', '90000021', ('top', 'leg', 'apron', 'shelf'), build_table),
    Category(
        'desk',
        '90000022',
        ('top', 'body', 'leg', 'drawer', 'handle', 'panel', 'hutch'),
        build_desk,
        ('writing desk',),
    ),
    Category(
        'bed',
        '90000023',
        ('frame', 'mattress', 'blanket', 'pillow', 'headboard', 'footboard', 'leg', 'ladder'),
        build_bed,
    ),
    Category(
        'piano',
        '90000024',
        ('body', 'lid', 'keys', 'leg', 'pedal', 'stand', 'bench'),
        build_piano,
    ),
    Category(
        'bookshelf', '90000025', ('shelf', 'side', 'back', 'book'), build_bookshelf, ('bookcase',)
    ),
    Category(
        'cabinet',
        '90000026',
        ('body', 'top', 'door', 'drawer', 'handle', 'leg'),
        build_cabinet,
        ('cupboard',),
    ),
)
