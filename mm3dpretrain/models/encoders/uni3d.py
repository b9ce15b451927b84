"""Uni3D's point encoder: a vision transformer that reads patches of points instead of pixels."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from ..utils import position_mlp, random_mask, select_patches
from .point_patch_embed import PointPatchEmbed


@MODELS.register_module()
class Uni3DViT(BaseModule):
    """A 2D vision transformer from timm over point patches (Uni3D, Sec. 3.1).

    Uni3D's sizes are timm's ``eva02_tiny_patch14_224``, ``eva02_small_patch14_224``,
    ``eva02_base_patch14_448``, ``eva02_large_patch14_448`` and ``eva_giant_patch14_560``; any other
    one with ``blocks`` (``vit_small_patch16_224``) works too. Its blocks and norms keep the weights
    of ``vit['checkpoint']``; what reads pixels is dropped. Positions of patches are added once,
    before the first block; the ViT's own, rotary ones included, are not used.

    Args:
        vit: a :class:`~mm3dpretrain.models.encoders.TimmBackbone`; ``type`` may be left out. With
            ``checkpoint`` it starts from 2D weights, with ``model_args=dict(drop_path_rate=0.2)``
            it drops paths.
        in_channels: channels per point, coordinates first (6: with r, g, b in [0, 1]).
        num_groups: patches per cloud.
        group_size: points per patch.
        encoder_dim: output channels of the patches' PointNet.
        patch_dropout: share of the patches left out while training, in [0, 1).
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ImportError: if timm is not installed.
        ValueError: for a network without blocks, a name that timm does not know, or a share outside
            [0, 1).
    """

    def __init__(
        self,
        vit: dict,
        in_channels: int = 6,
        num_groups: int = 512,
        group_size: int = 64,
        encoder_dim: int = 512,
        patch_dropout: float = 0.0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 <= patch_dropout < 1:
            raise ValueError(f'patch_dropout must be in [0, 1), got {patch_dropout}')
        network = MODELS.build({'type': 'TimmBackbone', **vit}).model
        if not isinstance(getattr(network, 'blocks', None), (nn.ModuleList, nn.Sequential)):
            raise ValueError(f'{vit.get("model_name")!r} is no transformer with blocks')
        dim = network.embed_dim
        self.in_channels = in_channels
        self.embed_dim = dim
        self.out_channels = dim
        self.num_layers = len(network.blocks) + 2
        self.patch_dropout = patch_dropout
        self.patch_embed = PointPatchEmbed(num_groups, group_size, in_channels, encoder_dim, dim)
        self.pos_embed = position_mlp(dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.cls_pos = nn.Parameter(torch.randn(1, 1, dim))
        self.blocks = nn.ModuleList(network.blocks)
        self.norm = network.norm
        self.fc_norm = getattr(network, 'fc_norm', nn.Identity())

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels), unit sphere; N at least ``num_groups``.

        Returns:
            ``global`` and ``cls`` (B, embed_dim), the class token after the final norms; ``local``
            (B, G, embed_dim), the patches likewise; ``xyz`` (B, G, 3), their centres. G is smaller
            by ``patch_dropout`` while training.

        Raises:
            ValueError: for another shape, too few points, or values that are not finite.
        """
        patches = self.patch_embed.group(points)
        tokens, center = self.patch_embed(patches), patches.center
        tokens = tokens + self.pos_embed(center)
        if self.training and self.patch_dropout:
            batch, groups = center.shape[:2]
            keep = ~random_mask(batch, groups, self.patch_dropout, device=center.device)
            tokens, center = select_patches(tokens, keep), select_patches(center, keep)
        cls_token = (self.cls_token + self.cls_pos).expand(len(tokens), -1, -1)
        tokens = torch.cat([cls_token, tokens], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.fc_norm(self.norm(tokens))
        return {
            'global': tokens[:, 0],
            'cls': tokens[:, 0],
            'local': tokens[:, 1:],
            'xyz': center,
        }

    def layer_index(self, name: str) -> int:
        """Depth of a parameter for a learning rate that decays with it: 0 to ``num_layers - 1``."""
        part, _, rest = name.partition('.')
        if part == 'blocks':
            return int(rest.split('.')[0]) + 1
        return self.num_layers - 1 if part in ('norm', 'fc_norm') else 0
