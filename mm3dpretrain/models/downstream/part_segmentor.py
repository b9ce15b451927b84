"""Part segmentation of single objects with a (pre-trained) point encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS
from mm3dpretrain.structures import PretrainDataSample

from ..utils.feature_propagation import FeaturePropagation
from .point_task import PointTask, required_field


@MODELS.register_module()
class PartSegHead(BaseModule):
    """From patch features to a part for every point: the head of Point-MAE's part segmentation.

    Features of several blocks, one after another, are carried to all points by three-nearest
    interpolation and an MLP over [feature, coordinates] (PointNet++, Sec. 3.4). Maximum and mean
    over the patches and an embedding of the shape's category describe the whole shape. An MLP
    reads both. The layers and widths of the default follow Point-MAE's released code; its category
    is an input, as in all work on ShapeNetPart. Point-BERT's own head propagates over three levels
    with a DGCNN instead.

    A linear probe: ``prop_channels=(), label_channels=0, hidden_channels=(), with_xyz=False,
    input_norm=True``.

    Args:
        in_channels: of the concatenated patch features.
        num_parts: parts of all categories together.
        num_categories: length of the category's one-hot vector.
        prop_channels: widths of the MLP behind the interpolation; () for none.
        label_channels: width of the category's embedding; 0 takes the one-hot vector itself.
        hidden_channels: widths of the last MLP; () makes it one linear layer.
        dropout: behind the first of them.
        with_xyz: append the coordinates to the interpolated features.
        input_norm: standardise the encoder's features by batch norms without parameters, since the
            scale of frozen features is arbitrary.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for fewer than two parts, no category, or a dropout outside [0, 1).
    """

    def __init__(
        self,
        in_channels: int,
        num_parts: int,
        num_categories: int,
        prop_channels: Sequence[int] = (1536, 1024),
        label_channels: int = 64,
        hidden_channels: Sequence[int] = (512, 256),
        dropout: float = 0.5,
        with_xyz: bool = True,
        input_norm: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if num_parts < 2 or num_categories < 1:
            raise ValueError(
                f'need at least 2 parts and 1 category, got {num_parts} and {num_categories}'
            )
        if not 0 <= dropout < 1:
            raise ValueError(f'dropout must be in [0, 1), got {dropout}')
        self.num_parts = num_parts
        self.num_categories = num_categories
        self.with_xyz = with_xyz
        self.patch_norm, self.shape_norm = nn.Identity(), nn.Identity()
        if input_norm:
            self.patch_norm = nn.BatchNorm1d(in_channels, affine=False)
            self.shape_norm = nn.BatchNorm1d(2 * in_channels, affine=False)
        self.propagation = FeaturePropagation(in_channels, 3 * with_xyz, prop_channels)
        self.label_embed = nn.Identity()
        if label_channels:
            self.label_embed = nn.Sequential(
                nn.Linear(num_categories, label_channels, bias=False),
                nn.BatchNorm1d(label_channels),
                nn.LeakyReLU(0.2),
            )
        first, *others = *hidden_channels, num_parts
        # one linear layer over [point, shape]; the shape's share is computed once, not per point
        self.from_point = nn.Linear(self.propagation.out_channels, first)
        self.from_shape = nn.Linear(
            2 * in_channels + (label_channels or num_categories), first, bias=False
        )
        layers: list[nn.Module] = []
        width = first
        for index, out in enumerate(others):
            layers += [nn.BatchNorm1d(width), nn.ReLU(True)]
            if index == 0:
                layers.append(nn.Dropout(dropout))
            layers.append(nn.Linear(width, out))
            width = out
        self.layers = nn.Sequential(*layers)

    def forward(self, points: Tensor, center: Tensor, patches: Tensor, category: Tensor) -> Tensor:
        """Logits of all parts of all categories.

        Args:
            points: (B, N, 3).
            center: (B, G, 3) of the patches, in the same frame.
            patches: (B, G, in_channels).
            category: (B,) int64 in [0, num_categories).

        Returns:
            (B, N, num_parts).

        Raises:
            ValueError: for a category out of range.
        """
        if len(category) and not 0 <= int(category.min()) <= int(category.max()) < (
            self.num_categories
        ):
            raise ValueError(
                f'categories from {int(category.min())} to {int(category.max())} do not fit '
                f'num_categories={self.num_categories} of the head'
            )
        shape = self.shape_norm(torch.cat([patches.amax(dim=1), patches.mean(dim=1)], dim=-1))
        label = F.one_hot(category, self.num_categories).to(shape.dtype)
        shape = torch.cat([shape, self.label_embed(label)], dim=-1)
        patches = self.patch_norm(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
        skip = points if self.with_xyz else None
        local = self.propagation(points, center, patches, skip)
        hidden = self.from_point(local) + self.from_shape(shape)[:, None]
        return self.layers(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])

    def loss(self, logits: Tensor, parts: Tensor) -> Tensor:
        """Mean cross-entropy over all points and all parts, in float32.

        Args:
            logits: (B, N, num_parts).
            parts: (B, N) int64.

        Raises:
            ValueError: for a part outside [0, num_parts).
        """
        if not 0 <= int(parts.min()) <= int(parts.max()) < self.num_parts:
            raise ValueError(
                f'parts from {int(parts.min())} to {int(parts.max())} do not fit '
                f'num_parts={self.num_parts} of the head'
            )
        return F.cross_entropy(logits.float().flatten(0, 1), parts.flatten())


@MODELS.register_module()
class PartSegmentor(PointTask):
    """Point encoder and part segmentation head; see :class:`PointTask` for lin / dec / ft.

    The encoder's features are those of its ``out_indices`` (three blocks of a point transformer),
    or ``local`` where it has no such taps. The category of a shape (``gt_label``) is given to the
    network, also in the test: that is the protocol of ShapeNetPart.

    ``predict`` adds ``pred_part_score`` (N, num_parts), the logits over the parts of all
    categories, and ``vote_part_score`` with voting. Which part a point belongs to is decided among
    the parts of its shape's own category by
    :func:`~mm3dpretrain.evaluation.part_seg_metric.parts_of_scores`.

    Args:
        backbone: encoder whose ``forward(points (B, N, C))`` returns a dict with ``xyz``
            (B, G, 3) and ``blocks`` (list of (B, G, C)) or ``local`` (B, G, C).
        head: such as :class:`PartSegHead`.
        **kwargs: see :class:`PointTask`.
    """

    def __init__(self, backbone: dict, head: dict, **kwargs) -> None:
        super().__init__(backbone, head, **kwargs)

    def run_head(
        self, features: dict, points: Tensor, data_samples: list[PretrainDataSample] | None
    ) -> Tensor:
        """Logits (B, N, num_parts).

        Raises:
            ValueError: for a sample without category.
        """
        category = required_field(data_samples, 'gt_label', 'part segmentation')
        category = torch.cat([label.view(1) for label in category]).to(points.device)
        patches = torch.cat(features.get('blocks') or [features['local']], dim=-1)
        return self.head(points[..., :3].contiguous(), features['xyz'], patches, category)

    def get_loss(self, output: Tensor, data_samples: list[PretrainDataSample] | None) -> dict:
        """``loss`` (scalar) and ``point_acc``, the share of right points in percent.

        Raises:
            ValueError: for a sample without parts, or a part that the head does not know.
        """
        parts = torch.stack(required_field(data_samples, 'gt_part', 'part segmentation'))
        parts = parts.to(output.device)
        hits = (output.detach().argmax(dim=-1) == parts).float().mean()
        return dict(loss=self.head.loss(output, parts), point_acc=100 * hits)

    def store(self, output: Tensor, data_samples: list[PretrainDataSample], prefix: str) -> None:
        """Add the logits (B, N, num_parts) to the samples."""
        for sample, score in zip(data_samples, output.float()):
            sample.set_field(score, f'{prefix}part_score')
