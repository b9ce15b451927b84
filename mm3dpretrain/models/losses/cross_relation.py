"""Relation distillation across modalities: a shape relates to texts as its image does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mm3dpretrain.registry import MODELS

from .relations import GlobalBatch, RelationLoss

#: name -> (student rows, columns) and (teacher rows, columns); the shape stands in for one modality
TERMS = {
    'text': (('points', 'text'), ('image', 'text')),
    'image': (('points', 'image'), ('text', 'image')),
    'from_text': (('text', 'points'), ('text', 'image')),
    'from_image': (('image', 'points'), ('image', 'text')),
}


@MODELS.register_module()
class CrossRelationLoss(RelationLoss):
    """L_Cross of MRD-style training: one modality of the frozen pair is replaced by the shape.

    With unit features f (the diagonal, a sample's own pair, is kept)::

        phi^(A,B)_ij = softmax_j( f_i^A . f_j^B / t )
        L_text       = mean_i J( sg phi^(image,text)_i, phi^(points,text)_i )
        L_image      = mean_i J( sg phi^(text,image)_i, phi^(points,image)_i )
        L_from_text  = mean_i J( sg phi^(text,image)_i, phi^(text,points)_i )     (transposed)
        L_from_image = mean_i J( sg phi^(image,text)_i, phi^(image,points)_i )    (transposed)

    L_text is 0 where shapes have the features of their images, L_image where they have those of
    their texts. The pairs are this toolbox's reading of MRD's abstract, not the paper's text.

    Args:
        terms: which of ``text``, ``image``, ``from_text``, ``from_image``.
        kwargs: see :class:`~mm3dpretrain.models.losses.relations.RelationLoss`.

    Raises:
        ValueError: for unknown terms, and see there.
    """

    #: modalities that the terms read
    teachers = ('image', 'text')

    def __init__(self, terms: Sequence[str] = ('text', 'image'), **kwargs) -> None:
        super().__init__(**kwargs)
        unknown = [term for term in terms if term not in TERMS]
        if unknown or not terms:
            raise ValueError(f'terms must be among {tuple(TERMS)}, got {tuple(terms)}')
        self.terms = tuple(terms)

    def forward(
        self,
        points: Tensor,
        teachers: Mapping[str, Tensor],
        valid: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """One value for each term.

        Args:
            points: (B, C) features of the shapes, any length.
            teachers: ``image`` and ``text``, (B, C) each; constants.
            valid: modality -> bool (B,), which samples have it; only those with both take part.

        Returns:
            Term -> scalar >= 0.

        Raises:
            ValueError: for shapes that do not fit.
        """
        with torch.autocast(points.device.type, enabled=False):
            features = {name: teachers[name].detach() for name in self.teachers}
            valid = {name: mask for name, mask in (valid or {}).items() if name in features}
            batch = GlobalBatch(dict(points=points, **features), valid, self.gather_distributed)
            subset = batch.subset(('points', 'image', 'text'), self.center)
            return {
                term: self.compare(subset, TERMS[term][0], [TERMS[term][1]]) for term in self.terms
            }
