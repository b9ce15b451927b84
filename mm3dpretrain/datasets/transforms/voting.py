"""Copies of a cloud for voting at test time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import numpy as np

from ...registry import TRANSFORMS
from ..base import build_transforms
from .base import BaseTransform


@TRANSFORMS.register_module()
class VoteCopies(BaseTransform):
    """Add ``vote_points`` (V, N, C): V copies of the cloud, each through the same transforms.

    The model averages its outputs over them and stores the result beside its plain prediction.
    Their random numbers follow ``SeededSampler``, so that a test repeats exactly. For parts the
    transforms must keep the points and their order.

    Args:
        num_votes: V.
        transforms: applied to each copy, such as sampling, normalisation, random scale.

    Raises:
        ValueError: for fewer than one vote, or copies of different size.
    """

    def __init__(self, num_votes: int, transforms: Sequence[Mapping | Callable]) -> None:
        if num_votes < 1:
            raise ValueError(f'num_votes must be positive, got {num_votes}')
        self.num_votes = num_votes
        self.transforms = build_transforms(transforms)

    def transform(self, results: dict) -> dict:
        copies = []
        for _ in range(self.num_votes):
            copy = deepcopy(results)
            for transform in self.transforms:
                copy = transform(copy)
            copies.append(copy['points'])
        shapes = {copy.shape for copy in copies}
        if len(shapes) > 1:
            raise ValueError(f'VoteCopies: copies of different size {sorted(shapes)}')
        results['vote_points'] = np.stack(copies).astype(np.float32)
        return results
