"""Correspondence by similar features instead of regressed coordinates."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

from .correspondence_head import partner, sample_cells


@MODELS.register_module()
class ContrastiveCorrespondenceHead(BaseModule):
    """InfoNCE between the pixels of two views: the alternative to MVNet's regression.

    The form of PointContrast and Pri3D, for ablation: matched pixels of both views shall have
    similar features. The paper regresses coordinates instead.

    Args:
        head: from (M, C) to the contrast space, such as :class:`ProjectionHead`.
        contrast: the loss, default :class:`PointInfoNCELoss`.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        head: dict,
        contrast: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.head = MODELS.build(head)
        self.contrast = MODELS.build(contrast or dict(type='PointInfoNCELoss'))

    def loss(
        self,
        maps: Tensor,
        mask: Tensor,
        queries: Tensor,
        targets: Tensor,
        valid: Tensor,
        image_size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Contrast of the pixels of valid queries with those of their targets.

        Args:
            maps, mask, queries, targets, valid, image_size: see
                :meth:`.CorrespondenceHead.loss`.

        Returns:
            ``loss`` and the figures of :class:`PointInfoNCELoss`.
        """
        size = queries.new_tensor([image_size[1], image_size[0]])
        here, seen = sample_cells(maps, mask, queries / size)
        there, met = sample_cells(partner(maps), partner(mask), targets / size)
        rows = valid & seen & met
        return self.contrast(self.head(here[rows]), self.head(there[rows]))

    def forward(
        self, maps: Tensor, mask: Tensor, queries: Tensor, image_size: tuple[int, int]
    ) -> Tensor:
        """Centres of the most similar cells of the partner views.

        Args:
            maps, mask, queries, image_size: see :meth:`.CorrespondenceHead.forward`.

        Returns:
            (B, V, Q, 2) pixels; the middle of the picture where the query or the partner sees no
            point.
        """
        views = maps.shape[:2]
        height, width = maps.shape[-2:]
        size = queries.new_tensor([image_size[1], image_size[0]])
        here, seen = sample_cells(maps, mask, queries / size)
        cells = partner(maps).flatten(3).mT
        query = self._embed(here)
        similarity = query @ self._embed(cells).mT
        met = partner(mask).flatten(2)
        best = similarity.masked_fill(~met[:, :, None], -2.0).argmax(-1)
        cell = torch.stack([(best % width + 0.5) / width, (best // width + 0.5) / height], dim=-1)
        found = seen & met.any(-1).view(*views, 1)
        return torch.where(found[..., None], cell.to(size), size.new_full((2,), 0.5)) * size

    def _embed(self, rows: Tensor) -> Tensor:
        return F.normalize(self.head(rows.flatten(0, 2)).float(), dim=-1).view(*rows.shape[:3], -1)
