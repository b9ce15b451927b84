"""Materials and colours of the synthetic shapes, with the words that captions use for them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Paint(NamedTuple):
    """Colour of one part: ``rgb`` uint8, the words ``color`` and ``material`` for a caption."""

    rgb: tuple[int, int, int]
    color: str
    material: str


_PAINTS = {
    'red': (186, 40, 36),
    'orange': (222, 124, 38),
    'yellow': (226, 190, 52),
    'green': (62, 130, 66),
    'blue': (48, 88, 168),
    'purple': (118, 66, 142),
    'pink': (222, 132, 160),
    'white': (232, 232, 226),
    'grey': (134, 136, 140),
    'black': (40, 40, 44),
    'turquoise': (52, 156, 156),
    'beige': (208, 190, 158),
}


def _some(*names: str) -> dict[str, tuple[int, int, int]]:
    return {name: _PAINTS[name] for name in names}


# material: (word in front of a noun, its colours by name)
MATERIALS: dict[str, tuple[str, dict[str, tuple[int, int, int]]]] = {
    'wood': (
        'wooden',
        {'brown': (126, 82, 48), 'dark brown': (78, 48, 30), 'light brown': (188, 146, 98)},
    ),
    'painted wood': (
        'wooden',
        _some('white', 'black', 'red', 'green', 'blue', 'grey', 'turquoise'),
    ),
    'metal': ('metal', {'silver': (176, 180, 184), **_some('black', 'grey', 'white')}),
    'brass': ('brass', {'gold': (196, 158, 72)}),
    'plastic': (
        'plastic',
        _some(
            'red',
            'orange',
            'yellow',
            'green',
            'blue',
            'pink',
            'white',
            'grey',
            'black',
            'turquoise',
        ),
    ),
    'fabric': (
        'fabric',
        _some('red', 'green', 'blue', 'purple', 'pink', 'grey', 'beige', 'turquoise', 'orange'),
    ),
    'leather': ('leather', {'brown': (112, 66, 40), **_some('black', 'white', 'red')}),
    'ceramic': (
        'ceramic',
        _some('white', 'blue', 'green', 'red', 'beige', 'turquoise', 'yellow', 'black', 'purple'),
    ),
    'glass': (
        'glass',
        {
            'green': (74, 124, 84),
            'brown': (110, 72, 40),
            'light blue': (168, 204, 218),
            'white': (224, 232, 232),
        },
    ),
    'lacquer': (
        'painted',
        _some('red', 'orange', 'yellow', 'green', 'blue', 'white', 'grey', 'black', 'turquoise'),
    ),
    'rubber': ('rubber', {'black': (36, 36, 38)}),
    'window': ('glass', {'dark blue': (60, 78, 98)}),
    'light': ('luminous', {'light yellow': (246, 234, 186), 'white': (246, 246, 240)}),
    'screen': (
        'glass',
        {'black': (26, 28, 34), 'blue': (50, 90, 150), 'light blue': (130, 180, 216)},
    ),
    'textile': (
        'textile',
        _some('white', 'beige', 'blue', 'red', 'green', 'grey', 'pink', 'purple'),
    ),
}


def draw_paint(rng: np.random.Generator, *materials: str) -> Paint:
    """A random colour of one of the materials, brightness and hue varied a little.

    Raises:
        KeyError: for an unknown material.
    """
    material = materials[int(rng.integers(len(materials)))]
    word, colors = MATERIALS[material]
    names = list(colors)
    name = names[int(rng.integers(len(names)))]
    rgb = np.array(colors[name]) * rng.uniform(0.88, 1.1) + rng.uniform(-7, 7, 3)
    return Paint(tuple(int(c) for c in np.clip(np.rint(rgb), 0, 255)), name, word)
