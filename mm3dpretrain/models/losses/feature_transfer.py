"""Projected 3D features against the maps of a 2D teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

DISTANCES = ('cosine', 'smooth_l1', 'mse')


@MODELS.register_module()
class FeatureTransferLoss(nn.Module):
    """Distance of two maps where a point is seen (MVNet, term (b) of docs/methods/mvnet.md).

    Per picture k with the seen cells M_k, then the mean over the pictures::

        L = 1/K  sum_k  1/|M_k|  sum_{p in M_k}  d(f_k(p), sg t_k(p))

    A picture without any seen cell adds 0. As every picture has the same weight, the mean over
    processes with equally many pictures is the value of one process with all of them. Computed in
    float32.

    That 2D features are imitated on several levels is the paper's; the distance is this toolbox's
    choice.

    Args:
        distance: 'cosine', ``1 - cos(f, t)``, half the squared distance of the unit vectors;
            'mse' or 'smooth_l1', means over the channels.
        beta: where the smooth L1 turns from square to linear.

    Raises:
        ValueError: for an unknown distance.
    """

    def __init__(self, distance: str = 'cosine', beta: float = 1.0) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(f'distance must be one of {DISTANCES}, got {distance!r}')
        self.distance = distance
        self.beta = beta

    def forward(self, projected: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Scalar loss; 0 where the maps agree or nothing is seen.

        Args:
            projected: (B, V, C, h, w), from the 3D features.
            target: the same shape, from the teacher; a constant.
            mask: bool (B, V, h, w), where a point is seen. Nothing else matters of both maps, not
                even whether it is finite.

        Raises:
            ValueError: for maps of different shapes.
        """
        if projected.shape != target.shape or mask.shape != target[:, :, 0].shape:
            raise ValueError(
                f'projected features {tuple(projected.shape)}, the teacher {tuple(target.shape)} '
                f'and the mask {tuple(mask.shape)} must lie on each other'
            )
        with torch.autocast(projected.device.type, enabled=False):
            # rows of the seen cells only
            ours = projected.float().movedim(2, -1)[mask]
            theirs = target.detach().float().movedim(2, -1)[mask]
            distance = self._distance(ours, theirs)
            cells = mask.flatten(2).sum(-1)
            weight = 1 / (cells.clamp(min=1) * cells.numel()).to(distance)
            return (distance * weight[..., None, None].expand(mask.shape)[mask]).sum()

    def _distance(self, ours: Tensor, theirs: Tensor) -> Tensor:
        if self.distance == 'cosine':
            # of unit vectors: exactly 0 for equal rows, which 1 - cos is not
            ours, theirs = F.normalize(ours, dim=-1), F.normalize(theirs, dim=-1)
            return (ours - theirs).square().sum(-1) / 2
        if self.distance == 'mse':
            return (ours - theirs).square().mean(-1)
        return F.smooth_l1_loss(ours, theirs, reduction='none', beta=self.beta).mean(-1)
