"""Normalised temperature-scaled cross-entropy between two sets of features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .gather import gather_features


def _check_pair(x: Tensor, y: Tensor, temperature: float) -> None:
    if x.dim() != 2 or x.shape != y.shape:
        raise ValueError(
            f'contrast needs two feature sets of equal shape (B, C), got {tuple(x.shape)} and '
            f'{tuple(y.shape)}'
        )
    if temperature <= 0:
        raise ValueError(f'temperature must be positive, got {temperature}')


@MODELS.register_module()
class NTXentLoss(nn.Module):
    """NT-Xent (SimCLR, sec. 2.1), as CrossPoint (sec. 3.2) uses it between two modalities.

    For a pair i, with cosine similarity s and temperature t::

        l(i, X, Y) = -log  exp(s(x_i, y_i) / t)
                          / ( sum_{k != i} exp(s(x_i, x_k) / t) + sum_k exp(s(x_i, y_k) / t) )

    and the loss is the mean of l(i, X, Y) and l(i, Y, X) over i. Computed in float32.

    Args:
        temperature: t > 0.
        gather_distributed: take the negatives of all processes; the value then is that of one
            process with the whole batch.
    """

    def __init__(self, temperature: float = 0.1, gather_distributed: bool = True) -> None:
        super().__init__()
        self.temperature = temperature
        self.gather_distributed = gather_distributed

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Loss of corresponding rows.

        Args:
            x: (B, C) features of one modality, any length (normalised here).
            y: (B, C) of the other.

        Returns:
            Scalar.

        Raises:
            ValueError: if the shapes differ.
        """
        _check_pair(x, y, self.temperature)
        with torch.autocast(x.device.type, enabled=False):
            x, y = F.normalize(x.float(), dim=1), F.normalize(y.float(), dim=1)
            all_x, all_y, first = x, y, 0
            if self.gather_distributed:
                all_x, all_y = gather_features(x), gather_features(y)
                first = get_rank() * x.shape[0]
            target = torch.arange(x.shape[0], device=x.device) + first
            loss_xy = self._one_way(x, all_x, all_y, target)
            loss_yx = self._one_way(y, all_y, all_x, target)
            return (loss_xy + loss_yx) / 2

    def _one_way(self, x: Tensor, same: Tensor, other: Tensor, target: Tensor) -> Tensor:
        within = x @ same.T / self.temperature
        # a feature is no negative of itself
        within = within.scatter(1, target[:, None], float('-inf'))
        across = x @ other.T / self.temperature
        return F.cross_entropy(torch.cat([across, within], 1), target)


@MODELS.register_module()
class InfoNCELoss(nn.Module):
    """Symmetric cross-modal InfoNCE, the loss of CLIP (sec. 2.3): no negatives within a modality.

    Args:
        temperature: start value, > 0.
        learnable: train the logarithm of 1 / temperature, limited to 100 as in CLIP.
        gather_distributed: as in :class:`NTXentLoss`.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        learnable: bool = False,
        gather_distributed: bool = True,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        log_scale = torch.tensor(1.0 / temperature).log()
        if learnable:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer('log_scale', log_scale)
        self.gather_distributed = gather_distributed

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Loss of corresponding rows of x and y, both (B, C); scalar.

        Raises:
            ValueError: if the shapes differ.
        """
        _check_pair(x, y, 1.0)
        with torch.autocast(x.device.type, enabled=False):
            x, y = F.normalize(x.float(), dim=1), F.normalize(y.float(), dim=1)
            all_x, all_y, first = x, y, 0
            if self.gather_distributed:
                all_x, all_y = gather_features(x), gather_features(y)
                first = get_rank() * x.shape[0]
            scale = self.log_scale.exp().clamp(max=100.0)
            target = torch.arange(x.shape[0], device=x.device) + first
            loss_xy = F.cross_entropy(scale * x @ all_y.T, target)
            loss_yx = F.cross_entropy(scale * y @ all_x.T, target)
            return (loss_xy + loss_yx) / 2
