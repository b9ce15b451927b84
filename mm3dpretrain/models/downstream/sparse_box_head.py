"""Anchor-free boxes from sparse voxels, without MinkowskiEngine.

mmdet3d's FCAF3D needs MinkowskiEngine for its backbone and for the layers of its head. Importing
this file needs mmdet3d; configs name it in ``custom_imports``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmcv.cnn import Scale
from mmdet3d.models.dense_heads import FCAF3DHead
from mmengine.model import bias_init_with_prob
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS


class _BackgroundLast(nn.Module):
    """FCAF3D labels what is no object -1, which mmdet's losses refuse on a CPU."""

    def __init__(self, loss: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.loss = loss
        self.num_classes = num_classes

    def forward(self, pred: Tensor, target: Tensor, **kwargs) -> Tensor:
        return self.loss(pred, target.where(target >= 0, self.num_classes), **kwargs)


@MODELS.register_module()
class SparseBoxHead(FCAF3DHead):
    """FCAF3D's targets, losses and boxes on the voxels of a :class:`SparseVoxelBackbone`.

    Targets, losses and decoding (Rukhovich et al., "FCAF3D", ECCV 2022) are inherited from mmdet3d.
    FCAF3D lets its neck grow voxels where there are no points and prunes them; here the voxels of
    the backbone are the locations, all of them on surfaces, and linear layers see them. That is
    this project's choice.

    Args:
        num_classes: number of classes.
        in_channels: widths of the levels, coarse to fine, as the backbone returns them.
        out_channels: width that all levels are brought to; the layers behind it are shared.
        num_reg_outs: 6 for boxes along the axes, 8 for boxes with a heading.
        pts_assign_threshold: a box belongs to the coarsest level with at least so many voxels
            inside it.
        pts_center_threshold: so many voxels of that level, nearest to the centre of the box, are
            to find it.
        center_loss: of the centerness.
        bbox_loss: of the boxes (``RotatedIoU3DLoss`` for boxes with a heading).
        cls_loss: of the classes.
        train_cfg: not used; mmdet3d's detectors hand it on.
        test_cfg: ``nms_pre``, ``iou_thr`` and ``score_thr``.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int],
        out_channels: int = 128,
        num_reg_outs: int = 6,
        pts_assign_threshold: int = 27,
        pts_center_threshold: int = 18,
        center_loss: dict | None = None,
        bbox_loss: dict | None = None,
        cls_loss: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        # past FCAF3DHead's own, which stops without MinkowskiEngine
        super(FCAF3DHead, self).__init__(init_cfg)
        self.pts_assign_threshold = pts_assign_threshold
        self.pts_center_threshold = pts_center_threshold
        self.center_loss = MODELS.build(
            center_loss or dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True)
        )
        self.bbox_loss = MODELS.build(bbox_loss or dict(type='mmdet3d.AxisAlignedIoULoss'))
        self.cls_loss = _BackgroundLast(
            MODELS.build(cls_loss or dict(type='mmdet.FocalLoss')), num_classes
        )
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg
        self.out_blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, out_channels, bias=False),
                nn.BatchNorm1d(out_channels),
                nn.ELU(inplace=True),
            )
            for width in in_channels
        )
        self.conv_center = nn.Linear(out_channels, 1, bias=False)
        self.conv_reg = nn.Linear(out_channels, num_reg_outs, bias=False)
        self.conv_cls = nn.Linear(out_channels, num_classes)
        self.scales = nn.ModuleList(Scale(1.0) for _ in in_channels)

    def init_weights(self) -> None:
        """As FCAF3D: small weights, and few objects expected."""
        for layer in (self.conv_center, self.conv_reg, self.conv_cls):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.constant_(self.conv_cls.bias, bias_init_with_prob(0.01))

    def forward(self, x: list[list[tuple[Tensor, Tensor]]]) -> tuple[list[list[Tensor]], ...]:
        """Predict at every voxel.

        Args:
            x: what :class:`SparseVoxelBackbone` returns.

        Returns:
            Centerness logits (M, 1), distances in metres to the six faces (M, 6), with a heading
            (M, 8), class logits (M, num_classes) and places (M, 3): of each of them a list over the
            levels, fine to coarse as FCAF3D has them, of lists over the scenes.
        """
        outputs: tuple[list, ...] = ([], [], [], [])
        for level, block, scale in list(zip(x, self.out_blocks, self.scales))[::-1]:
            sizes = [len(xyz) for xyz, _ in level]
            # one pass for all scenes: the batch norm sees them together
            hidden = block(torch.cat([features for _, features in level]))
            reg = self.conv_reg(hidden)
            boxes = torch.cat([scale(reg[:, :6]).exp(), reg[:, 6:]], dim=1)
            for out, value in zip(
                outputs, (self.conv_center(hidden), boxes, self.conv_cls(hidden))
            ):
                out.append(list(value.split(sizes)))
            outputs[3].append([xyz for xyz, _ in level])
        return outputs

    def get_targets(self, points: list[Tensor], gt_bboxes, gt_labels: Tensor) -> tuple[Tensor, ...]:
        """FCAF3D's targets; a scene without boxes is all background, where mmdet3d's fails.

        Args:
            points: places (M_l, 3) of each level.
            gt_bboxes: boxes of the scene.
            gt_labels: their classes.

        Returns:
            Centerness (M,), boxes (M, 6 or 7) and classes (M,), -1 for background, of all levels.
        """
        if len(gt_bboxes):
            return super().get_targets(points, gt_bboxes, gt_labels)
        places = torch.cat(points)
        background = gt_labels.new_full((len(places),), -1)
        width = 7 if gt_bboxes.with_yaw else 6
        return places.new_zeros(len(places)), places.new_zeros(len(places), width), background
