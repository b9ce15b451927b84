"""MRD: a point encoder copies how images and texts relate, not only which belongs to which."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .base import BasePretrainer

#: modality -> cached embedding, flag of the samples that have it, what a live teacher reads
INPUTS = {
    'image': ('image_embeds', 'has_image', 'img'),
    'text': ('text_embeds', 'has_text', 'text_tokens'),
}


@MODELS.register_module()
class MRD(BasePretrainer):
    """MRD-style pre-training (arXiv 2407.14007) of a point encoder on triplets.

    A frozen vision-language model gives an embedding of each image and text. The shape's embedding
    is aligned with both, and the relations among the shapes of a batch are made to follow those
    among their images and texts::

        L = L_Align + lambda_1 sum_k D_k(L_Intra,k) + lambda_2 sum_k D_k(L_Cross,k)

    with D_k the dynamic weight of a relation term. The paper's abstract names these parts; their
    formulas (:class:`~mm3dpretrain.models.losses.IntraRelationLoss`,
    :class:`~mm3dpretrain.models.losses.CrossRelationLoss`) and weights are this toolbox's defaults.
    Without the relation terms this is the alignment of ULIP, OpenShape and Uni3D.

    Embeddings usually come from a cache (``image_embeds``, ``text_embeds``), and no CLIP is needed.
    A live teacher replaces what the batch lacks.

    Args:
        point_encoder: any with a ``global`` output and ``out_channels``.
        embed_dim: width D of the teachers' embeddings (ViT-bigG-14: 1280, ViT-B-32: 512).
        projection: head from the encoder's channels to D; default one linear layer.
        alignment: such as ``dict(type='MultiModalAlignmentLoss')``; None for none.
        intra_loss: relations among shapes (``IntraRelationLoss``, ``FusedIntraRelationLoss``);
            None for none.
        cross_loss: relations of shapes with images and texts (``CrossRelationLoss``); None for
            none.
        dynamic_weights: of the relation terms; default ``dict(type='UncertaintyWeights')``.
        intra_weight, cross_weight: lambda_1 and lambda_2.
        image_teacher: module with ``encode_image(img) -> (B, D)``, frozen here.
        text_teacher: module with ``encode_text(tokens) -> (B, D)``, frozen here.
        data_preprocessor: see :class:`BasePretrainer`.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: if no loss is left, or a weight is not positive.
    """

    transfer_modules = {'point': 'point_encoder'}

    def __init__(
        self,
        point_encoder: dict,
        embed_dim: int,
        projection: dict | None = None,
        alignment: dict | None = None,
        intra_loss: dict | None = None,
        cross_loss: dict | None = None,
        dynamic_weights: dict | None = None,
        intra_weight: float = 1.0,
        cross_weight: float = 1.0,
        image_teacher: dict | None = None,
        text_teacher: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if intra_weight <= 0 or cross_weight <= 0:
            raise ValueError(
                f'intra_weight and cross_weight must be positive, got {intra_weight} and '
                f'{cross_weight}: leave out intra_loss or cross_loss instead'
            )
        self.point_encoder = MODELS.build(point_encoder)
        if projection is None:
            self.projection = nn.Linear(self.point_encoder.out_channels, embed_dim)
        else:
            self.projection = MODELS.build(projection)
        self.alignment = None if alignment is None else MODELS.build(alignment)
        # group of terms -> its loss, and lambda
        self.relations = nn.ModuleDict()
        self.lambdas = dict(intra=float(intra_weight), cross=float(cross_weight))
        for group, config in (('intra', intra_loss), ('cross', cross_loss)):
            if config is not None:
                self.relations[group] = MODELS.build(config)
        if self.alignment is None and not self.relations:
            raise ValueError('no loss is left: give alignment, intra_loss or cross_loss')
        terms = [f'{g}_{term}' for g, loss in self.relations.items() for term in loss.terms]
        self.dynamic_weights = None
        if terms:
            config = dynamic_weights or dict(type='UncertaintyWeights')
            self.dynamic_weights = MODELS.build(dict(config, names=terms))
        self.modalities = self._modalities()
        self.teachers = nn.ModuleDict()
        for name, config in (('image', image_teacher), ('text', text_teacher)):
            if config is not None:
                self.teachers[name] = MODELS.build(config).requires_grad_(False).eval()

    # ---------------------------------------------------------------- the method

    def loss(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """All terms, weighted, and figures to watch.

        Args:
            inputs: ``points`` (B, N, C), unit sphere, coordinates first, with colours in [0, 1]
                where the encoder reads them; ``image_embeds`` and ``text_embeds`` (B, D) of any
                length, constants; ``has_image`` and ``has_text`` (B,), which samples have them, by
                default all (embeddings of others are not read). A live teacher reads ``img``
                (B, 3, H, W) and ``text_tokens`` (B, L).
            data_samples: unused.

        Returns:
            ``loss_align_<modality>``, ``loss_intra_<term>``, ``loss_cross_<term>``, their sum being
            the total loss (with learned weights it may be negative); ``top1_<modality>`` and
            ``logit_scale`` of the alignment; for every relation term its value before the weight,
            ``intra_<term>`` or ``cross_<term>``, and ``weight_...``; with a fused target
            ``intra_share``, the share of the first teacher.

        Raises:
            ValueError: if the batch lacks an embedding, or widths differ.
        """
        embed = self._embed(self.point_encoder(inputs['points']))
        teachers, valid = self._teacher_embeddings(inputs)
        outputs: dict[str, Tensor] = {}
        if self.alignment is not None:
            for name, value in self.alignment(embed, teachers, valid).items():
                outputs[name.replace('loss_', 'loss_align_')] = value
        raw = {
            f'{group}_{term}': value
            for group, loss in self.relations.items()
            for term, value in loss(embed, teachers, valid).items()
        }
        if raw:
            weighted, weights = self.dynamic_weights(raw)
            for name, value in weighted.items():
                outputs[f'loss_{name}'] = self.lambdas[name.split('_')[0]] * value
                outputs[name] = raw[name].detach()
                outputs[f'weight_{name}'] = weights[name]
        for group, loss in self.relations.items():
            if hasattr(loss, 'share'):
                outputs[f'{group}_share'] = loss.share.detach()
        return outputs

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """Features of clouds.

        Returns:
            What the encoder finds (``global``, ``local``, ``xyz``, ...) and ``embed`` (B, D), of
            unit length, in the space of the teachers' images and texts: its product with their
            unit embeddings is the cosine that zero-shot classification and retrieval rank by.
        """
        feats = self.point_encoder(inputs['points'])
        return dict(feats, embed=F.normalize(self._embed(feats).float(), dim=-1))

    # ---------------------------------------------------------------- steps

    def _embed(self, feats: dict[str, Tensor]) -> Tensor:
        return self.projection(feats['global'])

    @torch.no_grad()
    def _teacher_embeddings(self, inputs: dict[str, Tensor]) -> tuple[dict, dict]:
        """Embeddings (B, D) by modality, and which samples have them, bool (B,)."""
        embeddings, valid = {}, {}
        for name in self.modalities:
            cached, flag, source = INPUTS[name]
            if cached in inputs:
                embeddings[name] = inputs[cached].detach()
            elif name in self.teachers and source in inputs:
                embeddings[name] = self._ask(name, inputs[source])
            else:
                raise ValueError(
                    f'the batch has neither {cached!r} nor a teacher with {source!r}: write the '
                    f'embeddings once and load them in the pipeline, or set {name}_teacher'
                )
            if flag in inputs:
                # the data preprocessor makes everything float32
                valid[name] = inputs[flag].bool()
        return embeddings, valid

    def _ask(self, name: str, source: Tensor) -> Tensor:
        if name == 'image':
            return self.teachers['image'].encode_image(source)
        return self.teachers['text'].encode_text(source.long())

    # ---------------------------------------------------------------- set-up

    def _modalities(self) -> tuple[str, ...]:
        """What the losses read of the teachers."""
        names = set(() if self.alignment is None else self.alignment.modalities)
        for loss in self.relations.values():
            names |= set(loss.teachers)
        unknown = sorted(names - set(INPUTS))
        if unknown:
            raise ValueError(f'unknown modalities {unknown}: there are {tuple(INPUTS)}')
        return tuple(name for name in INPUTS if name in names)

    def train(self, mode: bool = True) -> MRD:
        """Change the mode of all parts but the teachers, which stay in eval mode."""
        super().train(mode)
        self.teachers.eval()
        return self
