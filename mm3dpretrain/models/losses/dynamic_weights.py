"""Weights of several loss terms, constant or learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .gather import sum_over_processes


@MODELS.register_module()
class FixedWeights(nn.Module):
    """Constant weights.

    Args:
        names: of the terms.
        weights: name -> weight; a missing one is 1.

    Raises:
        ValueError: for weights of terms that do not exist.
    """

    def __init__(self, names: Sequence[str], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        weights = dict(weights or {})
        unknown = sorted(set(weights) - set(names))
        if unknown:
            raise ValueError(f'weights of unknown terms {unknown}; there are {list(names)}')
        self.weights = {name: float(weights.get(name, 1.0)) for name in names}

    def forward(self, losses: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weighted losses, and the weights for the log.

        Args:
            losses: name -> scalar.
        """
        weighted = {name: self.weights[name] * value for name, value in losses.items()}
        current = {name: value.new_tensor(self.weights[name]) for name, value in losses.items()}
        return weighted, current


@MODELS.register_module()
class UncertaintyWeights(nn.Module):
    """Learned weights exp(-s) with the price s (Kendall et al., CVPR 2018, eq. 10, without 1/2)::

        L = sum_k  exp(-s_k) L_k + s_k

    A term at rest has the weight 1 / L_k, so that none is forgotten. A softmax over the weights
    has no such price and moves everything to the smallest loss, whatever it is. Give the
    parameters no weight decay.

    A term that no sample of the batch has (exactly 0) costs nothing and leaves its s alone; with
    the price s would fall, and the first batch that has the term would meet the largest weight.

    s_k is ``limit * tanh(parameter / limit)``: a loss that falls towards 0 would draw a free s to
    minus infinity and its weight to infinity.

    Args:
        names: of the terms.
        limit: bound of |s|; 4.6 keeps the weights in [1/100, 100].

    Raises:
        ValueError: for a limit that is not positive.
    """

    def __init__(self, names: Sequence[str], limit: float = 4.6) -> None:
        super().__init__()
        if not limit > 0:
            raise ValueError(f'limit must be positive, got {limit}')
        self.limit = limit
        self.log_variance = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(())) for name in names}
        )

    def forward(self, losses: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weighted losses with their price, which may be negative, and the weights for the log.

        Args:
            losses: name -> scalar >= 0.
        """
        # exactly 0 in all processes: nothing in this batch has the modality
        present = sum_over_processes(torch.stack([x.float() for x in losses.values()])) > 0
        weighted, weights = {}, {}
        for (name, value), there in zip(losses.items(), present):
            s = self.limit * torch.tanh(self.log_variance[name].float() / self.limit)
            weighted[name] = (-s).exp() * value + s * there
            weights[name] = (-s).exp().detach()
        return weighted, weights
