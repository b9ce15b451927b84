"""How far the relations of a student are from those of its teacher, row by row."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS


class Divergence(nn.Module):
    """Distance between two sets of relations of the same form.

    ``forward(target, student, relation)`` takes two tensors (R, V) as ``relation`` made them (see
    :mod:`.relations`) and returns (R,), each at least 0 and 0 where the rows are equal. Gradients
    reach both.
    """

    #: whether rows must be log-probabilities
    needs_distribution = False


@MODELS.register_module()
class JeffreyDivergence(Divergence):
    """J(p, q) = KL(p || q) + KL(q || p) = sum_j (p_j - q_j)(log p_j - log q_j) (MRD's choice).

    Computed from log-probabilities, which are finite also where the probabilities underflow.
    """

    needs_distribution = True

    def forward(self, target: Tensor, student: Tensor, relation: nn.Module) -> Tensor:
        """Distances (R,), symmetric in the two arguments."""
        return ((target.exp() - student.exp()) * (target - student)).sum(-1)


@MODELS.register_module()
class KLDivergence(Divergence):
    """KL(p || q) = sum_j p_j (log p_j - log q_j), p the teacher's rows and q the student's."""

    needs_distribution = True

    def forward(self, target: Tensor, student: Tensor, relation: nn.Module) -> Tensor:
        """Distances (R,)."""
        return (target.exp() * (target - student)).sum(-1)


@MODELS.register_module()
class L2Divergence(Divergence):
    """Squared differences: their mean over a row of similarities, their sum over probabilities.

    (Probabilities are of the size 1 / V, so that a mean would vanish with the batch.)
    """

    def forward(self, target: Tensor, student: Tensor, relation: nn.Module) -> Tensor:
        """Distances (R,)."""
        return relation.reduce((relation.values(target) - relation.values(student)).square())


@MODELS.register_module()
class SmoothL1Divergence(Divergence):
    """Huber's form of :class:`L2Divergence`: d^2 / (2 beta) below beta, |d| - beta / 2 above.

    Args:
        beta: where the square becomes linear, in the unit of the relations (cosines), > 0.

    Raises:
        ValueError: for a beta that is not positive.
    """

    def __init__(self, beta: float = 0.1) -> None:
        super().__init__()
        if not beta > 0:
            raise ValueError(f'beta must be positive, got {beta}')
        self.beta = beta

    def forward(self, target: Tensor, student: Tensor, relation: nn.Module) -> Tensor:
        """Distances (R,)."""
        target, student = torch.broadcast_tensors(relation.values(target), relation.values(student))
        return relation.reduce(F.smooth_l1_loss(student, target, reduction='none', beta=self.beta))
