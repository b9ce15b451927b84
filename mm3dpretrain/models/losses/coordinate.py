"""Predicted pixels against the true ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

DISTANCES = ('mse', 'smooth_l1', 'l1')


@MODELS.register_module()
class CoordinateLoss(nn.Module):
    """Distance of coordinates in [0, 1] (MVNet, term (c) of docs/methods/mvnet.md).

    Per directed pair of views k with valid queries Q_k, then the mean over the pairs::

        L = 1/K  sum_k  1/|Q_k|  sum_{p in Q_k}  d(q^_k(p), q_k(p))

    A pair without valid queries adds 0. As every pair has the same weight, the mean over processes
    with equally many pairs is the value of one process with all of them. Computed in float32.

    That coordinates are regressed is the paper's; the distance is this toolbox's choice.

    Args:
        distance: 'mse' (the squared distance), 'l1', the sum of both axes, or 'smooth_l1'.
        beta: where the smooth L1 turns from square to linear, as a share of the picture.

    Raises:
        ValueError: for an unknown distance.
    """

    def __init__(self, distance: str = 'mse', beta: float = 0.05) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f'distance must be one of {DISTANCES}, got {distance!r}')
        self.distance = distance
        self.beta = beta

    def forward(self, predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Scalar loss, 0 for perfect predictions.

        Args:
            predicted: (B, V, Q, 2).
            target: (B, V, Q, 2).
            valid: bool (B, V, Q); the other rows do not matter, not even whether they are finite.

        Raises:
            ValueError: for different shapes.
        """
        if predicted.shape != target.shape or valid.shape != target.shape[:-1]:
            raise ValueError(
                f'predicted {tuple(predicted.shape)}, target {tuple(target.shape)} and valid '
                f'{tuple(valid.shape)} do not belong together'
            )
        with torch.autocast(predicted.device.type, enabled=False):
            ours, truth = predicted.float()[valid], target.detach().float()[valid]
            if self.distance == 'mse':
                distance = (ours - truth).square()
            elif self.distance == 'l1':
                distance = (ours - truth).abs()
            else:
                distance = F.smooth_l1_loss(ours, truth, reduction='none', beta=self.beta)
            queries = valid.sum(-1)
            weight = 1 / (queries.clamp(min=1) * queries.numel()).to(distance)
            return (distance.sum(-1) * weight[..., None].expand(valid.shape)[valid]).sum()
