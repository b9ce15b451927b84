"""The pre-trained point transformer as a backbone of mmdet3d's indoor networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mm3dpretrain import ops
from mm3dpretrain.registry import MODELS

from ..encoders.point_transformer import PointTransformer
from ..utils.feature_propagation import FeaturePropagation


@MODELS.register_module()
class PointTransformerBackbone(PointTransformer):
    """:class:`PointTransformer` with the outputs of mmdet3d's PointNet++ backbones.

    Fits wherever ``mmdet3d.PointNet2SASSG`` stands: VoteNet, GroupFree3D and H3DNet-like detectors
    read the seeds (``fp_*``), ``EncoderDecoder3D`` with a ``PointNet2Head`` reads the pyramid
    (``sa_*``). The transformer's weights have the names of the pre-training, so a raw pre-training
    checkpoint goes in:

        backbone=dict(
            type='mm3dpretrain.PointTransformerBackbone',
            init_cfg=dict(type='Pretrained', checkpoint=..., prefix='point_encoder.'))

    Patch features are carried to ``num_seeds`` points by three-point interpolation and an MLP,
    which start from random weights. The papers of the methods here do not describe how a plain
    transformer meets a scene; that layer, the centring and ``input_scale`` are this project's.

    Args:
        num_seeds: points with features in ``fp_features[-1]``, chosen by furthest point sampling;
            VoteNet's default is 1024. 0 leaves the seeds out (segmentation).
        fp_channels: widths of the seeds' MLP; the last is the ``in_channels`` of the vote module.
        input_scale: coordinates are multiplied by it before they are encoded. The pre-training saw
            objects in the unit sphere; with 1 a metre of the scene is a unit of the pre-training.
        frozen: the transformer gets no gradient and stays in eval mode (the ``dec`` stage of the
            lin / dec / ft ladder); the MLP of the seeds learns.
        **kwargs: see :class:`PointTransformer`. ``num_groups`` must cover the scene: patches are
            ``group_size`` nearest points each. With ``out_indices`` the features of those blocks,
            one after another, replace those of the last one.

    Raises:
        ValueError: for a negative number of seeds or a scale that is not positive.
    """

    def __init__(
        self,
        num_seeds: int = 1024,
        fp_channels: Sequence[int] = (256, 256),
        input_scale: float = 1.0,
        frozen: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if num_seeds < 0 or not input_scale > 0:
            raise ValueError(
                f'need num_seeds >= 0 and input_scale > 0, got {num_seeds} and {input_scale}'
            )
        self.num_seeds = num_seeds
        self.input_scale = input_scale
        self.frozen = frozen
        self.local_channels = self.embed_dim * max(1, len(self.out_indices))
        self.seed_propagation = None
        if num_seeds:
            self.seed_propagation = FeaturePropagation(
                self.local_channels, self.in_channels, fp_channels
            )
        if frozen:
            for name, part in self.named_children():
                if name != 'seed_propagation':
                    part.requires_grad_(False)
            for parameter in self.parameters(recurse=False):
                parameter.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> PointTransformerBackbone:
        """Training mode for all that learns."""
        super().train(mode)
        if self.frozen:
            for name, part in self.named_children():
                if name != 'seed_propagation':
                    part.eval()
        return self

    def pretraining_features(self, points: Tensor) -> dict[str, Tensor]:
        """What :class:`PointTransformer` gives for clouds (B, N, in_channels), as pre-trained.

        The proof that a checkpoint arrived compares these: they involve no new layer.
        """
        return super().forward(points)

    def forward(self, points: Tensor) -> dict[str, list[Tensor]]:
        """Encode scenes.

        Args:
            points: (B, N, C >= in_channels) in metres; further channels (such as VoteNet's height
                over the floor) are handed on in ``sa_features[0]`` and not encoded.

        Returns:
            Lists as mmdet3d's ``PointNet2SASSG`` returns them, features channels first:
            ``sa_xyz`` [(B, N, 3), (B, G, 3)], ``sa_features`` [(B, C - 3, N) or None,
            (B, local_channels, G)], ``sa_indices`` and, coarse to fine, ``fp_xyz``,
            ``fp_features`` and ``fp_indices`` of patches and seeds.

        Raises:
            ValueError: for too few channels or points, or values that are not finite.
        """
        if points.dim() != 3 or points.shape[-1] < self.in_channels:
            raise ValueError(
                f'points must be (B, N, C) with C >= in_channels={self.in_channels}, got '
                f'{tuple(points.shape)}'
            )
        xyz = points[..., :3].contiguous()
        seen = points[..., : self.in_channels]
        # a scene may lie anywhere; the positions of the pre-training lie around the origin
        local_frame = (xyz - xyz.mean(dim=1, keepdim=True)) * self.input_scale
        seen = torch.cat([local_frame, seen[..., 3:]], dim=-1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            encoded = self.pretraining_features(seen)
        local = torch.cat(encoded['blocks'], dim=-1) if self.out_indices else encoded['local']

        # samples of the same cloud from the same start: the patches' centres are the first ones
        chosen = ops.furthest_point_sample(
            local_frame.detach(), max(self.num_seeds, self.num_groups)
        )
        center_idx = chosen[:, : self.num_groups]
        center = ops.gather_points(xyz, center_idx)
        everything = torch.arange(xyz.shape[1], device=xyz.device).expand(xyz.shape[:2])
        extra = points[..., 3:].transpose(1, 2).contiguous() if points.shape[-1] > 3 else None
        coarse = local.transpose(1, 2).contiguous()
        outputs = dict(
            sa_xyz=[xyz, center],
            sa_features=[extra, coarse],
            sa_indices=[everything, center_idx],
            fp_xyz=[center],
            fp_features=[coarse],
            fp_indices=[center_idx],
        )
        if self.seed_propagation is not None:
            seed_idx = chosen[:, : self.num_seeds]
            own = ops.gather_points(seen, seed_idx)
            seeds = self.seed_propagation(own[..., :3], encoded['xyz'], local, own)
            outputs['fp_xyz'].append(ops.gather_points(xyz, seed_idx))
            outputs['fp_features'].append(seeds.transpose(1, 2).contiguous())
            outputs['fp_indices'].append(seed_idx)
        return outputs
