"""Completion of partial point clouds with a (pre-trained) point encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

from .point_task import PointTask, required_field


@MODELS.register_module()
class CompletionHead(BaseModule):
    """Coarse points from the global feature, then a patch around each of them.

    A linear probe: ``hidden_channels=(), upsampler=None, input_norm=True`` with as many coarse
    points as the result shall have.

    Args:
        in_channels: of the global feature.
        num_coarse: M, coarse points.
        hidden_channels: widths of the MLP to the coarse points; () makes it one linear layer.
        upsampler: module whose ``forward(coarse (B, M, 3), features)`` gives offsets
            (B, M, K, 3), such as :class:`TransformerUpsampler`; None: the coarse points are the
            result.
        input_norm: standardise the global feature by a batch norm without parameters before the
            MLP, since the scale of frozen features is arbitrary.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for no coarse points.
    """

    def __init__(
        self,
        in_channels: int,
        num_coarse: int = 256,
        hidden_channels: Sequence[int] = (1024, 1024),
        upsampler: dict | None = None,
        input_norm: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_coarse < 1:
            raise ValueError(f'num_coarse must be positive, got {num_coarse}')
        layers: list[nn.Module] = []
        if input_norm:
            layers.append(nn.BatchNorm1d(in_channels, affine=False))
        for width in hidden_channels:
            layers += [nn.Linear(in_channels, width), nn.ReLU(True)]
            in_channels = width
        self.to_coarse = nn.Sequential(*layers, nn.Linear(in_channels, 3 * num_coarse))
        self.upsampler = None if upsampler is None else MODELS.build(upsampler)

    def forward(self, features: dict[str, Tensor]) -> tuple[Tensor | None, Tensor]:
        """Coarse and fine clouds.

        Args:
            features: of the encoder, with ``global`` (B, in_channels) and what the upsampler
                reads.

        Returns:
            ``coarse`` (B, M, 3), None without an upsampler, and ``fine`` (B, M * K, 3), in the
            frame of the encoder's input.
        """
        coarse = self.to_coarse(features['global']).unflatten(-1, (-1, 3))
        if self.upsampler is None:
            return None, coarse
        offsets = self.upsampler(coarse, features)
        return coarse, (coarse[:, :, None] + offsets).flatten(1, 2)


@MODELS.register_module()
class PointCompletion(PointTask):
    """Point encoder and completion head; see :class:`PointTask` for lin / dec / ft.

    The loss is the Chamfer distance of the coarse and of the fine cloud to the complete one
    (``gt_points``). ``predict`` adds ``pred_points`` (M * K, 3), or
    (M * K + N, 3) with ``merge_input``, in the frame of the input.

    Args:
        backbone: encoder whose ``forward(points (B, N, C))`` returns a dict with ``global`` and
            what the head reads (``local`` and ``xyz``).
        head: such as :class:`CompletionHead`.
        chamfer: the distance; default CD-L1 (PoinTr's choice).
        input_scale: coordinates are multiplied by it for the network, and its result is divided by
            it. The pre-training saw objects in the unit sphere; those of PCN have radius 0.5.
        merge_input: the N points of the input are part of the coarse and of the fine cloud, in the
            loss too, so that the head learns what is missing (PoinTr's code does the same).
        **kwargs: see :class:`PointTask`.

    Raises:
        ValueError: for a scale that is not positive.
    """

    can_vote = False

    def __init__(
        self,
        backbone: dict,
        head: dict,
        chamfer: dict | None = None,
        input_scale: float = 1.0,
        merge_input: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(backbone, head, **kwargs)
        if not input_scale > 0:
            raise ValueError(f'input_scale must be positive, got {input_scale}')
        self.chamfer = MODELS.build(chamfer or dict(type='ChamferLoss', norm='l1'))
        self.input_scale = input_scale
        self.merge_input = merge_input

    def extract_feat(self, inputs: dict[str, Tensor], data_samples=None) -> dict[str, Tensor]:
        """Features of the encoder for the scaled ``points`` (B, N, C)."""
        points = inputs['points']
        scaled = torch.cat([points[..., :3] * self.input_scale, points[..., 3:]], dim=-1)
        return super().extract_feat(dict(points=scaled))

    def run_head(
        self, features: dict, points: Tensor, data_samples=None
    ) -> tuple[Tensor | None, Tensor]:
        """``coarse`` (B, M, 3) or None, and ``fine`` (B, M * K, 3), in the frame of the input.

        With ``merge_input`` both have N more points, those of the input, at their end.
        """
        return tuple(
            cloud if cloud is None else self._to_frame(cloud, points)
            for cloud in self.head(features)
        )

    def _to_frame(self, cloud: Tensor, points: Tensor) -> Tensor:
        """A cloud of the head in the frame of the input, with the input where it is merged."""
        cloud = cloud / self.input_scale
        return torch.cat([cloud, points[..., :3].to(cloud.dtype)], 1) if self.merge_input else cloud

    def get_loss(self, output: tuple, data_samples: list[PretrainDataSample] | None) -> dict:
        """``loss_fine`` and, with an upsampler, ``loss_coarse``: scalars.

        Raises:
            ValueError: for a sample without complete cloud.
        """
        coarse, fine = output
        target = torch.stack(required_field(data_samples, 'gt_points', 'completion'))
        target = target.to(fine.device)
        losses = dict(loss_fine=self.chamfer(fine, target))
        if coarse is not None:
            losses['loss_coarse'] = self.chamfer(coarse, target)
        return losses

    def store(self, output: tuple, data_samples: list[PretrainDataSample], prefix: str) -> None:
        """Add the fine cloud to the samples."""
        for sample, cloud in zip(data_samples, output[1].float()):
            sample.set_field(cloud, f'{prefix}points')
