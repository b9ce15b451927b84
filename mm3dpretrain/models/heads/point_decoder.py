"""From patch features back to points."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from ..utils import TransformerBlocks, init_transformer_weights, position_mlp, select_patches


@MODELS.register_module()
class PointDecoder(BaseModule):
    """Transformer decoder that reconstructs the points of every patch (Point-MAE, Sec. 3.2).

    Args:
        embed_dim: channels of the encoder's patch features and of the blocks.
        depth: number of blocks.
        num_heads: heads per block.
        group_size: K, points to reconstruct per patch.
        mlp_ratio: hidden width of the MLPs over ``embed_dim``.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0.
        with_mask_token: Point-MAE's way: the encoder saw the visible patches only, and the decoder
            gets a learnable token for every hidden one and reconstructs those alone. Without it
            every token that comes in is decoded.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        embed_dim: int = 384,
        depth: int = 4,
        num_heads: int = 6,
        group_size: int = 32,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.1,
        with_mask_token: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.group_size = group_size
        self.with_mask_token = with_mask_token
        if with_mask_token:
            self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = position_mlp(embed_dim)
        self.blocks = TransformerBlocks(
            embed_dim, depth, num_heads, mlp_ratio, drop_path_rate=drop_path_rate
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.to_points = nn.Linear(embed_dim, 3 * group_size)

    def init_weights(self) -> None:
        """Truncated normal weights, standard deviation 0.02, then ``init_cfg``."""
        if not self.is_init:
            init_transformer_weights(self)
            if self.with_mask_token:
                nn.init.trunc_normal_(self.mask_token, std=0.02)
        super().init_weights()

    def forward(self, tokens: Tensor, center: Tensor, mask: Tensor | None = None) -> Tensor:
        """Points of the patches, relative to their centres.

        Args:
            tokens: (B, G, embed_dim) patch features; with ``mask`` those of the G - M visible
                patches only, in the order of their patches.
            center: (B, G, 3) centres of all patches.
            mask: (B, G) bool, True for the M hidden patches, as many in every cloud. Given exactly
                when the decoder has a mask token.

        Returns:
            (B, G, K, 3), with ``mask`` (B, M, K, 3) for the hidden patches in their order. Add the
            centres with :meth:`to_cloud`.

        Raises:
            ValueError: if mask and mask token do not go together, or for shapes that do not fit.
        """
        if (mask is not None) != self.with_mask_token:
            raise ValueError(
                'a mask is given to a PointDecoder exactly when it has with_mask_token=True; '
                f'got mask={"given" if mask is not None else None} and '
                f'with_mask_token={self.with_mask_token}'
            )
        num_hidden = 0
        if mask is not None:
            visible, hidden = select_patches(center, ~mask), select_patches(center, mask)
            num_hidden = hidden.shape[1]
            center = torch.cat([visible, hidden], dim=1)
            fill = self.mask_token.to(tokens.dtype).expand(tokens.shape[0], num_hidden, -1)
            tokens = torch.cat([tokens, fill], dim=1)
        if tokens.shape[:2] != center.shape[:2]:
            raise ValueError(
                f'{tokens.shape[1] - num_hidden} tokens do not fit '
                f'{center.shape[1] - num_hidden} patches'
            )
        x, _ = self.blocks(tokens, self.pos_embed(center))
        points = self.to_points(self.norm(x[:, -num_hidden:] if num_hidden else x))
        return points.view(*points.shape[:2], self.group_size, 3)

    @staticmethod
    def to_cloud(points: Tensor, center: Tensor) -> Tensor:
        """Place reconstructed patches in the cloud: the only spot where centres are added.

        Args:
            points: (B, G, K, 3) relative to the centres.
            center: (B, G, 3) in the frame of the cloud.

        Returns:
            (B, G * K, 3) in the frame of the cloud.
        """
        return (points + center[:, :, None]).flatten(1, 2)
