"""Relation distillation inside a modality: the student copies who resembles whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .relations import GlobalBatch, RelationLoss, logit


@MODELS.register_module()
class IntraRelationLoss(RelationLoss):
    """L_Intra of MRD-style training: relations psi among shapes follow those among their images
    and those among their texts.

    With unit features f and the diagonal removed (B rows of B - 1 entries)::

        psi^M_ij = softmax_{j != i}( f_i^M . f_j^M / t )        M = image, text, points
        L_M      = mean_i J( sg psi^M_i, psi^points_i )

    With the diagonal a row's largest entry is its own, and of different samples next to nothing is
    left (at t = 0.07 and cosines around 0.3, batch 1024: 96 % of the mass).

    The form of the relations is this toolbox's reading of MRD's abstract, not the paper's text.

    Args:
        teachers: modalities to follow.
        mask_diagonal: remove what a sample has in common with itself; off for ablations only.
        kwargs: see :class:`~mm3dpretrain.models.losses.relations.RelationLoss`.

    Raises:
        ValueError: see there.
    """

    def __init__(
        self, teachers: Sequence[str] = ('image', 'text'), mask_diagonal: bool = True, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.teachers = tuple(teachers)
        self.mask_diagonal = mask_diagonal

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the values that :meth:`forward` returns."""
        return self.teachers

    def forward(
        self,
        points: Tensor,
        teachers: Mapping[str, Tensor],
        valid: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """One value for each teacher.

        Args:
            points: (B, C) features of the shapes, any length.
            teachers: modality -> (B, C); constants.
            valid: modality -> bool (B,), which samples have it. The relations of a term, on both
                sides, are those among the samples that have its teacher.

        Returns:
            Modality -> scalar >= 0.

        Raises:
            ValueError: for shapes that do not fit.
        """
        with torch.autocast(points.device.type, enabled=False):
            batch = self._batch(points, teachers, valid)
            return {
                name: self.compare(
                    batch.subset(('points', name), self.center),
                    ('points', 'points'),
                    [(name, name)],
                    self.mask_diagonal,
                )
                for name in self.teachers
            }

    def _batch(self, points, teachers, valid) -> GlobalBatch:
        features = {name: teachers[name].detach() for name in self.teachers}
        valid = {name: mask for name, mask in (valid or {}).items() if name in features}
        return GlobalBatch(dict(points=points, **features), valid, self.gather_distributed)


@MODELS.register_module()
class FusedIntraRelationLoss(IntraRelationLoss):
    """L_Intra against one target, a learned mixture of the relations of two teachers::

        psi* = a psi^image + (1 - a) psi^text,   a = sigmoid(parameter)
        L    = mean_i J( psi*_i, psi^points_i )

    Only the samples that have both teachers take part. A mixture of targets cannot vanish as a
    mixture of losses does: a softmax over loss weights without a regulariser moves all weight to
    the smaller loss (0.9987 after 500 SGD steps for losses held at 0.5 and 2), and is not offered.

    Args:
        share: a at the beginning, in (0, 1).
        kwargs: see :class:`IntraRelationLoss`; it needs two teachers.

    Raises:
        ValueError: for another number of teachers, or a share outside (0, 1).
    """

    def __init__(self, share: float = 0.5, **kwargs) -> None:
        super().__init__(**kwargs)
        if len(self.teachers) != 2:
            raise ValueError(f'two teachers can be fused, got {self.teachers}')
        self.share_logit = nn.Parameter(torch.tensor(logit(share)))

    @property
    def terms(self) -> tuple[str, ...]:
        """The single name that :meth:`forward` returns."""
        return ('fused',)

    @property
    def share(self) -> Tensor:
        """a, the share of the first teacher."""
        return self.share_logit.float().sigmoid()

    def forward(
        self,
        points: Tensor,
        teachers: Mapping[str, Tensor],
        valid: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """``fused``: the loss; arguments and errors as in :class:`IntraRelationLoss`."""
        with torch.autocast(points.device.type, enabled=False):
            batch = self._batch(points, teachers, valid)
            loss = self.compare(
                batch.subset(('points', *self.teachers), self.center),
                ('points', 'points'),
                [(name, name) for name in self.teachers],
                self.mask_diagonal,
                self.share,
            )
            return dict(fused=loss)
