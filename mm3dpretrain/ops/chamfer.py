"""Chamfer distance between point clouds, with memory linear in the number of points."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _checks
from .knn import knn


def nearest_neighbors(
    x: Tensor,
    y: Tensor,
    x_lengths: Tensor | None = None,
    y_lengths: Tensor | None = None,
    norm: int = 2,
) -> Tensor:
    """Index of the nearest point of ``y`` for every point of ``x``.

    Args:
        x (Tensor): (B, N, D).
        y (Tensor): (B, M, D).
        x_lengths (Tensor | None): (B,) valid points of x.
        y_lengths (Tensor | None): (B,) valid points of y.
        norm (int): 2 or 1 (Manhattan).

    Returns:
        Tensor: (B, N) int64, 0 past ``x_lengths``.
    """
    with torch.no_grad():
        return knn(x, y, 1, x_lengths, y_lengths, norm).idx[..., 0]


def chamfer_distance(
    x: Tensor,
    y: Tensor,
    x_lengths: Tensor | None = None,
    y_lengths: Tensor | None = None,
    norm: int = 2,
    sqrt: bool = False,
    point_reduction: str = 'mean',
    batch_reduction: str | None = 'mean',
    direction_reduction: str = 'sum',
    single_directional: bool = False,
) -> Tensor:
    """Chamfer distance: how far each point is from the nearest of the other cloud.

    The conventions of the field::

        PyTorch3D          chamfer_distance(x, y)                    (norm=1: Manhattan)
        'Chamfer L2'       chamfer_distance(x, y)
        'Chamfer L1'       chamfer_distance(x, y, sqrt=True, direction_reduction='mean')

    where the last two are those of completion papers and of Point-BERT and its descendants.
    The nearest index is found without gradient; only the chosen pairs are kept for the backward
    pass. The gradient at coincident points is 0, with ``sqrt`` too.

    Args:
        x (Tensor): (B, N, D); gradients reach it.
        y (Tensor): (B, M, D); gradients reach it.
        x_lengths (Tensor | None): (B,) valid points of each cloud of x, in [1, N]; None: N.
        y_lengths (Tensor | None): (B,) valid points of each cloud of y, in [1, M]; None: M.
        norm (int): 2 (squared Euclidean distance) or 1 (Manhattan distance).
        sqrt (bool): take the Euclidean instead of the squared distance; norm 2 only.
        point_reduction (str): 'mean' (over a cloud's own length) or 'sum'.
        batch_reduction (str | None): 'mean', 'sum', or None for one value per cloud.
        direction_reduction (str): 'sum' or 'mean' of x -> y and y -> x.
        single_directional (bool): only x -> y.

    Returns:
        Tensor: scalar, or (B,) with ``batch_reduction=None``.

    Raises:
        ValueError: wrong shape, dtype, range, or a coordinate that is NaN or infinite.
    """
    _checks.choice('point_reduction', point_reduction, ('mean', 'sum'))
    _checks.choice('batch_reduction', batch_reduction, ('mean', 'sum', None))
    _checks.choice('direction_reduction', direction_reduction, ('sum', 'mean'))
    if sqrt and norm != 2:
        raise ValueError(f'sqrt is the Euclidean distance and needs norm 2, got norm {norm}')
    x_lengths = _checks.lengths_of('x_lengths', x_lengths, x)
    y_lengths = _checks.lengths_of('y_lengths', y_lengths, y)
    x = _checks.cloud('x', x, x_lengths)
    y = _checks.cloud('y', y, y_lengths)
    x, y = _checks.pair('x', x, 'y', y)
    total = _one_direction(x, y, x_lengths, y_lengths, norm, sqrt, point_reduction)
    if not single_directional:
        total = total + _one_direction(y, x, y_lengths, x_lengths, norm, sqrt, point_reduction)
        if direction_reduction == 'mean':
            total = total / 2
    if batch_reduction is None:
        return total
    return total.mean() if batch_reduction == 'mean' else total.sum()


def _one_direction(x, y, x_lengths, y_lengths, norm, sqrt, point_reduction) -> Tensor:
    """(B,) reduced distance of every point of x to its nearest point of y."""
    dist = knn(x, y, 1, x_lengths, y_lengths, norm).dist2[..., 0]
    if sqrt:
        # The slope of the root at 0 is infinite: coincident points get gradient 0 instead.
        apart = dist > 0
        dist = torch.where(apart, dist, dist.new_ones(())).sqrt() * apart
    if x_lengths is None:
        return dist.mean(1) if point_reduction == 'mean' else dist.sum(1)
    total = dist.sum(1)  # padding has distance 0
    return total / x_lengths if point_reduction == 'mean' else total


def chamfer_l1(x: Tensor, y: Tensor, **kwargs) -> Tensor:
    """'Chamfer L1' of completion papers: mean of both directions' mean Euclidean distance."""
    return chamfer_distance(x, y, sqrt=True, direction_reduction='mean', **kwargs)


def chamfer_l2(x: Tensor, y: Tensor, **kwargs) -> Tensor:
    """'Chamfer L2' of completion papers: sum of both directions' mean squared distance."""
    return chamfer_distance(x, y, **kwargs)
