"""Sentences that describe a synthetic shape, from templates; true of the shape they are for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mm3dpretrain.datasets.synthetic.builder import Builder


def article(phrase: str) -> str:
    """The phrase with 'a' or 'an' in front."""
    return f'{"an" if phrase[0].lower() in "aeiou" else "a"} {phrase}'


def join(features: list[str]) -> str:
    """'x', 'x and y', 'x, y and z'."""
    if len(features) < 2:
        return ''.join(features)
    return f'{", ".join(features[:-1])} and {features[-1]}'


def describe(b: Builder) -> list[str]:
    """Four or five different captions; the first one names colour, material and every feature.

    Args:
        b: the finished builder of a shape.
    """
    paint = b.main
    noun = b.noun
    other = b.pick(noun, *b.category.synonyms)
    color, material = paint.color, paint.material
    features = list(dict.fromkeys(b.features))
    adjectives = list(dict.fromkeys(b.adjectives))
    some = [features[k] for k in sorted(b.rng.permutation(len(features))[:2])]
    one = [b.pick(*features)] if features else []
    adjective = f'{b.pick(*adjectives)} ' if adjectives else ''

    def having(chosen: list[str]) -> str:
        return f' with {join(chosen)}' if chosen else ''

    head = ' '.join([*adjectives[:1], color, material, noun])
    captions = [
        article(head) + having(features),
        article(f'{color} {noun}') + having(one),
        article(f'{material} {other}') + having(some),
        article(f'{adjective}{color} {other}'),
        f'this {noun} is {color}'
        + (f' and has {join(some)}' if some else f', made of {material} parts'),
        f'a 3D model of {article(adjective + noun)}' + having(one),
        f'{article(noun)} in {color}' + (f'; it has {join(features)}' if features else ''),
    ]
    extra = [1 + int(k) for k in b.rng.permutation(len(captions) - 1)[:4]]
    return list(dict.fromkeys([captions[0]] + [captions[k] for k in sorted(extra)]))
