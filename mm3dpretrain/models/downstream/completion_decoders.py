"""From coarse points to a dense cloud: the fine stage of a completion head."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mm3dpretrain.registry import MODELS


@MODELS.register_module()
class FoldingUpsampler(BaseModule):
    """Folds a patch around every coarse point from the global feature alone (after PCN).

    Args:
        decoder: :class:`~mm3dpretrain.models.heads.FoldingDecoder`; its ``in_channels`` are those
            of the global feature plus 3, its ``num_points`` K.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(self, decoder: dict, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        self.decoder = MODELS.build(decoder)

    def forward(self, coarse: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Offsets of the fine points.

        Args:
            coarse: (B, M, 3).
            features: of the encoder, with ``global`` (B, C).

        Returns:
            (B, M, K, 3) relative to the coarse points.
        """
        shape = features['global'][:, None].expand(-1, coarse.shape[1], -1)
        return self.decoder(torch.cat([shape, coarse], dim=-1))[1]


@MODELS.register_module()
class TransformerUpsampler(BaseModule):
    """Treats coarse points as centres of hidden patches, which the point decoder reconstructs.

    It is the decoder of masked pre-training (Point-MAE, Sec. 3.2) with predicted centres: patches
    of the partial cloud and one token for every coarse point attend to each other. The papers of
    the methods here do not describe a completion head; this one is the project's.

    Args:
        decoder: :class:`~mm3dpretrain.models.heads.PointDecoder` with ``with_mask_token=True``;
            its ``group_size`` is K.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(self, decoder: dict, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        self.decoder = MODELS.build(decoder)

    def forward(self, coarse: Tensor, features: dict[str, Tensor]) -> Tensor:
        """Offsets of the fine points.

        Args:
            coarse: (B, M, 3).
            features: of the encoder, with ``local`` (B, G, C) and ``xyz`` (B, G, 3).

        Returns:
            (B, M, K, 3) relative to the coarse points.
        """
        seen, missing = features['xyz'], coarse
        center = torch.cat([seen, missing.to(seen.dtype)], dim=1)
        hidden = torch.ones(center.shape[:2], dtype=torch.bool, device=center.device)
        hidden[:, : seen.shape[1]] = False
        return self.decoder(features['local'], center, hidden)
