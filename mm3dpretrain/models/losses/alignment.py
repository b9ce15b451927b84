"""Alignment of shapes with their images and texts."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .point_info_nce import PointInfoNCELoss
from .relations import check_features


@MODELS.register_module()
class MultiModalAlignmentLoss(nn.Module):
    """Symmetric InfoNCE of shapes with every modality, under one scale (ULIP; OpenShape, Sec. 3).

    With unit features f and s = exp(log_scale)::

        NCE(A, B) = -1/(2B) sum_i [ log softmax_j(s f_i^A . f_j^B)_i
                                  + log softmax_j(s f_i^B . f_j^A)_i ]
        L_M       = w_M NCE(points, M)                                    M = image, text

    A sample without a modality is left out of its term, as anchor and as negative (OpenShape's
    text; Uni3D, where an image is missing, keeps its row among the negatives).

    Args:
        weights: modality -> w_M; a missing one is not aligned. ULIP, OpenShape, Uni3D: 1 for both.
        temperature: 1 / s at the beginning (CLIP: 0.07), > 0.
        learnable: whether s is trained. The parameter is kept at ``log(max_scale)`` or below; give
            it no weight decay.
        max_scale: CLIP's limit of s.
        gather_distributed: contrast with the samples of all processes; value and gradient, averaged
            over the processes, are then those of one process with the whole batch.
        chunk_size: rows of similarities in memory at a time.

    Raises:
        ValueError: for a temperature that is not positive, or no weight.
    """

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        temperature: float = 0.07,
        learnable: bool = True,
        max_scale: float = 100.0,
        gather_distributed: bool = True,
        chunk_size: int = 256,
    ) -> None:
        super().__init__()
        weights = dict(image=1.0, text=1.0) if weights is None else weights
        self.weights = {name: float(value) for name, value in weights.items() if value}
        if not self.weights:
            raise ValueError(f'nothing is left to align with: weights={dict(weights)}')
        self.contrast = PointInfoNCELoss(
            temperature,
            symmetric=True,
            gather_distributed=gather_distributed,
            chunk_size=chunk_size,
        )
        if 1 / temperature > max_scale:
            raise ValueError(
                f'temperature={temperature} is a scale above max_scale={max_scale}: raise one'
            )
        log_scale = torch.tensor(-math.log(temperature))
        if learnable:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer('log_scale', log_scale)
        self.max_log_scale = math.log(max_scale)

    @property
    def scale(self) -> Tensor:
        """s, a scalar float32."""
        return self.log_scale.float().exp()

    @property
    def modalities(self) -> tuple[str, ...]:
        """What shapes are aligned with."""
        return tuple(self.weights)

    def forward(
        self,
        points: Tensor,
        teachers: Mapping[str, Tensor],
        valid: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Loss and accuracy for each modality.

        Args:
            points: (B, C) features of the shapes, any length.
            teachers: modality -> (B, C).
            valid: modality -> bool (B,), which samples have it.

        Returns:
            ``loss_<modality>``, weighted; ``top1_<modality>``, the share of this process's shapes
            whose own partner is the nearest; ``logit_scale``.

        Raises:
            ValueError: for shapes that do not fit.
        """
        teachers = {name: teachers[name] for name in self.modalities}
        valid = {name: mask for name, mask in (valid or {}).items() if name in teachers}
        check_features(dict(points=points, **teachers), valid)
        if self.training:
            with torch.no_grad():
                # CLIP's way: beyond the limit a clamp in the graph would have no gradient back
                self.log_scale.clamp_(max=self.max_log_scale)
        scale = self.scale
        losses, figures = {}, {}
        for name, weight in self.weights.items():
            out = self.contrast(points, teachers[name], valid.get(name), scale)
            losses[f'loss_{name}'] = weight * out['loss']
            figures[f'top1_{name}'] = out['top1']
        return dict(**losses, **figures, logit_scale=scale.detach())
