"""Batch norm that sees data without remembering them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def keep_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, the batch norms of ``module`` leave their running statistics as they are.

    What they compute is the same: in training the statistics of the batch. Use it for data that
    only serve as targets, and that a later user of the weights will not see, such as augmented
    views.

    Args:
        module: holds the batch norms; synchronised ones too.
    """
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
