"""MVNet: a 3D network learns from 2D features and from the agreement of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS, TASK_UTILS
from mm3dpretrain.structures import PretrainDataSample

from ..encoders.image_teachers import ImageTeacher
from ..utils.channel_stats import ChannelStandardizer
from ..utils.loss_terms import active_terms, build_part
from ..utils.point_masking import drop_points
from ..utils.view_features import TeacherView, carry_features, project_points, teacher_similarity
from .base import BasePretrainer

TERMS = ('transfer', 'consistency')


@MODELS.register_module()
class MVNet(BasePretrainer):
    """MVNet (Yan et al., ICLR 2024, arXiv 2306.02558): points learn from pictures of their scene.

    The cloud is encoded by itself; its features are projected into the views, where two terms
    judge them. Of a cloud P with features F and of views I_k with a frozen teacher T::

        M_k, F~_k = project(F, camera k, depth k)                   nearest visible point of a cell
        L_transfer    = mean_{k, l}  d( g_l(F~_k^l), sg T^l(I_k) )  where M_k
        L_consistency = mean_{k}     |h(F~_k, F~_k', p) - q|        q: the point of p in view k'
        L             = w_t L_transfer + w_c L_consistency

    From the paper: the encoder sees points only, perspective projection with depth, transfer on
    several levels of a frozen 2D network, and pixel coordinates as the target of the views'
    agreement. **This toolbox's choice**, because the paper's was not available: the distances d,
    the heads g and h, both weights, the masking ratio, that each channel of T is standardised, and
    every number of the configs.

    Args:
        point_encoder: from points, their first ``in_channels`` channels, to ``xyz`` (B, M, 3),
            ``local`` (B, M, C') and maybe ``levels``, see
            :class:`~mm3dpretrain.models.encoders.SparseUNetEncoder`.
        teacher: an :class:`~mm3dpretrain.models.encoders.ImageTeacher`. Batches with ``teacher_0``,
            ``teacher_1``, ... hold its cached maps, and it does not run.
        encoder_levels: for each map of the teacher the index into the encoder's ``levels``; None:
            all learn from the finest features, ``local``.
        pixel_head: config of the heads g_l; the widths are filled in. Default a linear layer.
        standardize_teacher: whether the channels of the teacher's maps get mean 0 and deviation 1
            over all that was seen in training (default). Raw maps share a large constant, and
            imitating that alone already gives a high similarity.
        transfer_loss: d, default cosine.
        match_head: h, such as :class:`~mm3dpretrain.models.heads.CorrespondenceHead`;
            ``in_channels`` is filled in where the config lacks it.
        match_stride: pixels of a picture a cell of the maps that ``match_head`` sees.
        projector: config of :class:`~mm3dpretrain.models.renderers.PointProjector`; its tolerance
            (default 0.05 m) decides what is hidden.
        loss_weights: of 'transfer' and 'consistency', 1 by default; a missing one is 0. A term of
            weight 0 is neither computed nor needs its parts.
        mask_ratio: share of the points that the encoder does not get in training; their features
            are those of their neighbours. 0, none of them, as long as the paper's is unknown.
        mask_block: edge of the cubes in which points are masked together, in the unit of the
            points; None: one by one.
        data_preprocessor: its mean and deviation must be those of the teacher.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for unknown names, parts that a term needs and that are missing, or pictures
            that are normalised in another way than the teacher expects.
    """

    transfer_modules = {'point': 'point_encoder'}

    def __init__(
        self,
        point_encoder: dict,
        teacher: dict | None = None,
        encoder_levels: Sequence[int] | None = None,
        pixel_head: dict | None = None,
        standardize_teacher: bool = True,
        transfer_loss: dict | None = None,
        match_head: dict | None = None,
        match_stride: int = 4,
        projector: dict | None = None,
        loss_weights: Mapping[str, float] | None = None,
        mask_ratio: float = 0.0,
        mask_block: float | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.weights = active_terms(loss_weights, TERMS)
        self.mask_ratio, self.mask_block = mask_ratio, mask_block
        self.match_stride = match_stride
        self.point_encoder = MODELS.build(point_encoder)
        self.projector = TASK_UTILS.build(projector or dict(type='PointProjector'))
        drop_points(torch.zeros(1, 1, 3), mask_ratio, mask_block)  # refuses impossible settings
        if 'transfer' in self.weights:
            self.teacher: ImageTeacher = build_part('transfer', teacher=teacher)
            self.teacher.check_normalization(self.data_preprocessor)
            maps = len(self.teacher.out_channels)
            self.encoder_levels = tuple(encoder_levels or [None] * maps)
            if len(self.encoder_levels) != maps:
                raise ValueError(
                    f'encoder_levels={encoder_levels} needs one entry for each of the {maps} maps '
                    'of the teacher'
                )
            head = pixel_head or dict(type='PixelHead')
            self.pixel_heads = nn.ModuleList(
                MODELS.build(dict(head, in_channels=self._width(level), out_channels=width))
                for level, width in zip(self.encoder_levels, self.teacher.out_channels)
            )
            # not below `teacher`, which no checkpoint holds
            self.target_norms = nn.ModuleList(
                ChannelStandardizer(width) if standardize_teacher else nn.Identity()
                for width in self.teacher.out_channels
            )
            self.transfer_loss = MODELS.build(transfer_loss or dict(type='FeatureTransferLoss'))
        if 'consistency' in self.weights:
            if match_head is not None and match_head.get('head') is None:
                match_head = dict(dict(in_channels=self.point_encoder.embed_dim), **match_head)
            self.match_head = build_part('consistency', match_head=match_head)

    # ---------------------------------------------------------------- the method

    def loss(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """The active terms, weighted, and figures.

        Args:
            inputs: ``points`` (B, N, C), metres or the unit of the data set, coordinates first;
                ``img`` (B, V, 3, H, W), normalised; ``depth`` (B, V, H, W) along z, 0: unknown;
                ``intrinsics`` (B, V, 3, 3) and ``extrinsics`` (B, V, 4, 4) from the frame of the
                points to the cameras. For the views' agreement ``queries`` (B, V, Q, 2) pixels
                (u, v), ``targets`` (B, V, Q, 2), the same points in view v ^ 1, and ``query_valid``
                bool (B, V, Q), seen in both. For cached maps ``teacher_0``, ... and in the data
                samples ``teacher_key``.
            data_samples: one for each cloud.

        Returns:
            ``loss_transfer`` and ``loss_consistency``; ``visible``, the share of the points that
            some view sees; ``teacher_cosine``, the mean similarity to the teacher in [-1, 1];
            figures of the match head as ``match_...``.
        """
        views = project_points(inputs, self.projector)
        features = self._encode(inputs['points'])
        losses: dict[str, Tensor] = {}
        figures = {'visible': views.seen.any(1).float().mean()}
        if 'transfer' in self.weights:
            levels = self._teacher_views(inputs, data_samples, features, views)
            terms = [self.transfer_loss(*level) for level in levels]
            losses['loss_transfer'] = self.weights['transfer'] * torch.stack(terms).mean()
            figures['teacher_cosine'] = teacher_similarity(levels).nanmean().nan_to_num()
        if 'consistency' in self.weights:
            maps, mask = self._match_maps(features, views)
            valid = inputs['query_valid'].bool()
            out = self.match_head.loss(
                maps, mask, inputs['queries'], inputs['targets'], valid, views.image_size
            )
            losses['loss_consistency'] = self.weights['consistency'] * out.pop('loss')
            figures.update({f'match_{name}': value for name, value in out.items()})
        return {**losses, **figures}

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """What the point encoder finds in whole clouds."""
        return self.point_encoder(inputs['points'][..., : self.point_encoder.in_channels])

    @torch.no_grad()
    def predict(self, inputs: dict[str, Tensor], data_samples=None) -> list[PretrainDataSample]:
        """What the terms judge, of whole clouds.

        Returns:
            Data samples with, as far as the terms are active, ``queries``, ``targets`` and
            ``pred_targets`` (V, Q, 2) pixels, ``query_valid`` bool (V, Q), and
            ``teacher_similarity`` (L,), the mean cosine similarity to each level of the teacher,
            NaN where no point is seen; see :class:`~mm3dpretrain.evaluation.ViewConsistencyMetric`.
        """
        views = project_points(inputs, self.projector)
        features = self._encode(inputs['points'], mask=False)
        found: dict[str, Tensor] = {}
        if 'transfer' in self.weights:
            levels = self._teacher_views(inputs, data_samples, features, views)
            found['teacher_similarity'] = teacher_similarity(levels)
        if 'consistency' in self.weights:
            found |= {name: inputs[name] for name in ('queries', 'targets')}
            found['query_valid'] = inputs['query_valid'].bool()
            maps, mask = self._match_maps(features, views)
            found['pred_targets'] = self.match_head(maps, mask, inputs['queries'], views.image_size)
        if data_samples is None:
            data_samples = [PretrainDataSample() for _ in range(len(inputs['points']))]
        for index, sample in enumerate(data_samples):
            sample.set_data({name: value[index] for name, value in found.items()})
        return data_samples

    @torch.no_grad()
    def teacher_views(self, inputs: dict[str, Tensor], data_samples=None) -> list[TeacherView]:
        """Every level of the teacher beside the projected features, of whole clouds, for pictures.

        Raises:
            ValueError: if the model has no transfer term.
        """
        if 'transfer' not in self.weights:
            raise ValueError("without the 'transfer' term there is no teacher")
        features = self._encode(inputs['points'], mask=False)
        return self._teacher_views(
            inputs, data_samples, features, project_points(inputs, self.projector)
        )

    # ---------------------------------------------------------------- its steps

    def _encode(self, points: Tensor, mask: bool = True) -> dict[int | None, Tensor]:
        """Features (B, N, C_l) of all points: None the finest ones, else those of a level."""
        ratio = self.mask_ratio if mask and self.training else 0.0
        kept = drop_points(points, ratio, self.mask_block)
        out = self.point_encoder(kept[..., : self.point_encoder.in_channels])
        wanted = {None: (out['xyz'], out['local'])}
        if 'transfer' in self.weights:
            wanted |= {k: out['levels'][k] for k in self.encoder_levels if k is not None}
        return dict(zip(wanted, carry_features(points[..., :3], list(wanted.values()))))

    def _teacher_views(self, inputs, data_samples, features, views) -> list[TeacherView]:
        covered = self.teacher.padded_size(*views.image_size)
        levels = []
        for k, target in enumerate(self._teacher_maps(inputs, data_samples)):
            target = self.target_norms[k](target)
            size = tuple(target.shape[-2:])
            maps, mask = views.maps(features[self.encoder_levels[k]], self.projector, size, covered)
            levels.append(TeacherView(self.pixel_heads[k](maps), target, mask))
        return levels

    def _teacher_maps(self, inputs, data_samples) -> list[Tensor]:
        if 'teacher_0' in inputs:
            key = self.teacher.key(self.data_preprocessor, tuple(inputs['img'].shape[-2:]))
            for sample in data_samples or [{}]:
                if sample.get('teacher_key') != key:
                    raise ValueError(
                        f'cached features have the key {sample.get("teacher_key")}, this teacher '
                        f'with these pictures {key}: run tools/precompute_teacher_features.py anew'
                    )
            return [inputs[f'teacher_{k}'] for k in range(len(self.teacher.out_channels))]
        views = inputs['img'].shape[:2]
        return [m.unflatten(0, views) for m in self.teacher(inputs['img'].flatten(0, 1))]

    def _match_maps(self, features, views) -> tuple[Tensor, Tensor]:
        size = tuple(-(-side // self.match_stride) for side in views.image_size)
        return views.maps(features[None], self.projector, size)

    def _width(self, level: int | None) -> int:
        if level is None:
            return self.point_encoder.embed_dim
        widths = getattr(self.point_encoder, 'level_channels', ())
        if not -len(widths) <= level < len(widths):
            raise ValueError(
                f'encoder_levels names level {level}, but the encoder has {len(widths)} of them'
            )
        return widths[level]
