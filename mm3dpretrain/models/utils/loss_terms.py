"""Loss terms that a config switches on and off by their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from mm3dpretrain.registry import MODELS


def active_terms(weights: Mapping[str, float] | None, terms: Sequence[str]) -> dict[str, float]:
    """The terms whose weight is not 0.

    Args:
        weights: by name; None: 1 for all; a missing one is 0.
        terms: all names.

    Raises:
        ValueError: for unknown names, negative weights, or if none is left.
    """
    weights = dict.fromkeys(terms, 1.0) if weights is None else dict(weights)
    unknown = sorted(set(weights) - set(terms))
    if unknown or any(w < 0 for w in weights.values()) or not any(weights.values()):
        raise ValueError(
            f'loss_weights must give {tuple(terms)} weights >= 0, one of them above, got {weights}'
        )
    return {name: float(weight) for name, weight in weights.items() if weight}


def build_part(term: str, **part: dict | None) -> nn.Module:
    """Build the part ``name=config`` that an active term needs.

    Raises:
        ValueError: if its config is missing.
    """
    name, config = next(iter(part.items()))
    if config is None:
        raise ValueError(f'the {term!r} term needs {name}: give its config or the weight 0')
    return MODELS.build(config)
