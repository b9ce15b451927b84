"""The plain point transformer of Point-BERT and Point-MAE."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from ..utils import TransformerBlocks, init_transformer_weights, position_mlp, select_patches
from .point_patch_embed import Patches, PointPatchEmbed


@MODELS.register_module()
class PointTransformer(BaseModule):
    """Transformer over patch tokens (Point-BERT, Sec. 3.2; Point-MAE, Sec. 3.2).

    The defaults are Point-BERT's. Point-MAE: ``encoder_dim=384, reduce_dim=False`` and, while
    pre-training, ``with_cls_token=False``.

    Args:
        in_channels: channels per point, coordinates first.
        num_groups: patches per cloud.
        group_size: points per patch.
        encoder_dim: output channels of the patch embedding's PointNet.
        embed_dim: channels of the tokens.
        depth: number of blocks.
        num_heads: heads per block.
        mlp_ratio: hidden width of the MLPs over ``embed_dim``.
        qkv_bias: whether query, key and value projections have a bias.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0.
        reduce_dim: whether a linear layer leads from ``encoder_dim`` to ``embed_dim``; without it
            both must be equal.
        hidden_dims: widths inside the patch embedding, see :class:`PointPatchEmbed`.
        with_cls_token: whether a learnable token with its own position precedes the patches.
        out_indices: 0-based blocks whose patch features are returned as ``blocks`` (Point-BERT's
            part segmentation uses (3, 7, 11)).
        init_cfg: see :class:`mmengine.model.BaseModule`. For the encoder inside a pre-training
            checkpoint: ``dict(type='Pretrained', checkpoint=..., prefix='point_encoder.')``.

    Raises:
        ValueError: for widths that do not fit or blocks that do not exist.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_groups: int = 64,
        group_size: int = 32,
        encoder_dim: int = 256,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        drop_path_rate: float = 0.1,
        reduce_dim: bool = True,
        hidden_dims: tuple[int, int, int] = (128, 256, 512),
        with_cls_token: bool = True,
        out_indices: tuple[int, ...] = (),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not reduce_dim and encoder_dim != embed_dim:
            raise ValueError(
                'without reduce_dim the patch embedding must have the width of the transformer, '
                f'got encoder_dim={encoder_dim} and embed_dim={embed_dim}'
            )
        if any(not 0 <= index < depth for index in out_indices):
            raise ValueError(f'out_indices must be in [0, {depth}), got {tuple(out_indices)}')
        self.in_channels = in_channels
        self.num_groups = num_groups
        self.group_size = group_size
        self.embed_dim = embed_dim
        self.out_channels = 2 * embed_dim
        self.with_cls_token = with_cls_token
        self.out_indices = tuple(out_indices)

        self.patch_embed = PointPatchEmbed(
            num_groups,
            group_size,
            in_channels,
            encoder_dim,
            embed_dim if reduce_dim else None,
            hidden_dims,
        )
        if with_cls_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
            self.cls_pos = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.pos_embed = position_mlp(embed_dim)
        self.blocks = TransformerBlocks(
            embed_dim, depth, num_heads, mlp_ratio, qkv_bias, drop_path_rate
        )
        self.norm = nn.LayerNorm(embed_dim)

    def init_weights(self) -> None:
        """Draw the weights as Point-BERT does, then apply ``init_cfg``.

        Raises:
            RuntimeError: if a checkpoint was to be loaded and none of its weights fits.
        """
        if self.is_init:
            super().init_weights()
            return
        init_transformer_weights(self)
        if self.with_cls_token:
            nn.init.trunc_normal_(self.cls_token, std=0.02)
            nn.init.trunc_normal_(self.cls_pos, std=0.02)
        before = [weight.detach().clone() for weight in self.parameters()]
        super().init_weights()
        init_cfg = self.init_cfg if isinstance(self.init_cfg, dict) else {}
        unchanged = all(map(torch.equal, before, self.parameters()))
        if init_cfg.get('type') == 'Pretrained' and unchanged:
            raise RuntimeError(
                f'no weight of {init_cfg["checkpoint"]!r} fits this encoder (prefix '
                f'{init_cfg.get("prefix")!r}): compare the keys of the checkpoint with the prefix, '
                'and the widths of both'
            )

    def group(self, points: Tensor) -> Patches:
        """Patches of clouds (B, N, in_channels); see :meth:`PointPatchEmbed.group`."""
        return self.patch_embed.group(points)

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels) in the frame and unit that the weights were trained for
                (unit sphere for the released ones).

        Returns:
            See :meth:`forward_patches`.

        Raises:
            ValueError: for another shape, too few points, or values that are not finite.
        """
        return self.forward_patches(self.group(points))

    def forward_patches(
        self,
        patches: Patches,
        mask: Tensor | None = None,
        mask_token: Tensor | None = None,
        drop_masked: bool = False,
        tokens: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Encode patches, some of them possibly hidden.

        Args:
            patches: what :meth:`group` gives.
            mask: (B, G) bool, True for patches whose content is hidden.
            mask_token: (1, 1, embed_dim) that stands for hidden patches; they keep their positions
                (Point-BERT).
            drop_masked: leave hidden patches out instead (Point-MAE). G' is then the number of
                visible patches, which must be the same for all clouds; else G' = G.
            tokens: (B, G, embed_dim), the embedding ``patch_embed(patches)`` if it is known: half
                of the work where a cloud is encoded twice, with and without a mask.

        Returns:
            - ``global`` (B, 2 embed_dim): [class token, maximum over the patches]. Without a class
              token the mean over the patches takes its place.
            - ``local`` (B, G', embed_dim): patch features after the final norm.
            - ``xyz`` (B, G', 3): centres of those patches.
            - ``cls`` (B, embed_dim): the class token after the final norm, where there is one.
            - ``blocks``: with ``out_indices`` a list of (B, G', embed_dim), normalised likewise.

        Raises:
            ValueError: if neither or both ways to hide masked patches are given, or for a mask
                that does not fit.
        """
        tokens = self.patch_embed(patches) if tokens is None else tokens
        center = patches.center
        if mask is not None:
            tokens, center = self._hide(tokens, center, mask, mask_token, drop_masked)
        pos = self.pos_embed(center)
        if self.with_cls_token:
            batch = tokens.shape[0]
            tokens = torch.cat([self.cls_token.expand(batch, -1, -1), tokens], dim=1)
            pos = torch.cat([self.cls_pos.expand(batch, -1, -1), pos], dim=1)
        tokens, collected = self.blocks(tokens, pos, self.out_indices)
        return self._outputs(self.norm(tokens), center, collected)

    @staticmethod
    def _hide(
        tokens: Tensor, center: Tensor, mask: Tensor, mask_token: Tensor | None, drop_masked: bool
    ) -> tuple[Tensor, Tensor]:
        """Tokens and centres after the masked patches were replaced or left out."""
        if drop_masked == (mask_token is not None):
            raise ValueError('a mask needs either a mask_token or drop_masked=True, and not both')
        if drop_masked:
            return select_patches(tokens, ~mask), select_patches(center, ~mask)
        if mask.dtype != torch.bool or mask.shape != tokens.shape[:2]:
            raise ValueError(
                f'mask must be bool {tuple(tokens.shape[:2])}, got {mask.dtype} {tuple(mask.shape)}'
            )
        return torch.where(mask[..., None], mask_token.to(tokens.dtype), tokens), center

    def _outputs(self, tokens: Tensor, center: Tensor, collected: list[Tensor]) -> dict:
        first = int(self.with_cls_token)
        local = tokens[:, first:]
        head = tokens[:, 0] if self.with_cls_token else local.mean(dim=1)
        outputs = {
            'global': torch.cat([head, local.amax(dim=1)], dim=-1),
            'local': local,
            'xyz': center,
        }
        if self.with_cls_token:
            outputs['cls'] = head
        if collected:
            outputs['blocks'] = [self.norm(x)[:, first:] for x in collected]
        return outputs
