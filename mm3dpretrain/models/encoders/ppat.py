"""OpenShape's point patch transformer, which it calls PointBERT."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain import ops
from mm3dpretrain.registry import MODELS

from ..utils import TransformerBlock
from .point_patch_embed import check_points

#: OpenShape's sizes: scaling -> width, blocks, heads, hidden width of the MLPs, width of the
#: patches' features, patches, their radius (of the unit sphere) and points
SCALINGS = {
    1: (256, 6, 4, 1024, 96, 64, 0.4, 256),
    2: (512, 6, 8, 1024, 128, 64, 0.4, 256),
    3: (512, 12, 8, 1024, 128, 128, 0.35, 128),
    4: (512, 12, 8, 1536, 256, 384, 0.2, 64),
    5: (768, 12, 12, 2304, 256, 512, 0.2, 64),
    6: (768, 24, 12, 3072, 256, 512, 0.2, 64),
}
SIZES = (
    'embed_dim',
    'depth',
    'num_heads',
    'mlp_dim',
    'patch_dim',
    'num_groups',
    'radius',
    'group_size',
)


@MODELS.register_module()
class PPAT(BaseModule):
    """Set abstraction, then a plain transformer with a class token (OpenShape, Sec. 3; its code).

    Patches are balls around centres of furthest point sampling from the first point (the released
    code draws the first one at random). A point's channels are its place relative to the centre,
    its place in the cloud and the others, so that positions need no code of their own. There is no
    norm after the last block.

    Args:
        scaling: OpenShape's sizes, 1 to 6; 4 is the released model's.
        in_channels: channels per point, coordinates first (6: with r, g, b in [0, 1]).
        relative_bias: add a learned function of the offset of two centres to their attention; the
            memory is that of (B, G + 1, G + 1, 64) per block. Off in all released models.
        drop_path_rate: stochastic depth of the last block; it rises linearly from 0.
        init_cfg: see :class:`mmengine.model.BaseModule`.
        sizes: single sizes instead of those of the scaling: ``embed_dim``, ``depth``,
            ``num_heads``, ``mlp_dim``, ``patch_dim``, ``num_groups``, ``radius`` (unit of the
            points), ``group_size``.

    Raises:
        ValueError: for an unknown scaling or size.
    """

    def __init__(
        self,
        scaling: int = 4,
        in_channels: int = 6,
        relative_bias: bool = False,
        drop_path_rate: float = 0.0,
        init_cfg: dict | list[dict] | None = None,
        **sizes: float,
    ) -> None:
        super().__init__(init_cfg)
        if scaling not in SCALINGS:
            raise ValueError(f'scaling must be one of {list(SCALINGS)}, got {scaling!r}')
        unknown = sorted(set(sizes) - set(SIZES))
        if unknown:
            raise ValueError(f'PPAT has no {unknown}; its sizes are {SIZES}')
        sizes = dict(zip(SIZES, SCALINGS[scaling]), **sizes)
        dim, depth = sizes['embed_dim'], sizes['depth']
        self.in_channels = in_channels
        self.num_groups = sizes['num_groups']
        self.group_size = sizes['group_size']
        self.radius = sizes['radius']
        self.embed_dim = dim
        self.out_channels = dim
        self.num_layers = depth + 2

        widths = (in_channels + 3, 64, 64, sizes['patch_dim'])
        self.patch_mlp = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(inplace=True))
                for a, b in zip(widths, widths[1:])
            )
        )
        self.lift = nn.Sequential(nn.Linear(sizes['patch_dim'] + 3, dim), nn.LayerNorm(dim))
        self.cls_token = nn.Parameter(torch.randn(dim))
        ratio = sizes['mlp_dim'] / dim
        rates = [drop_path_rate * index / max(depth - 1, 1) for index in range(depth)]
        self.blocks = nn.ModuleList(
            TransformerBlock(dim, sizes['num_heads'], ratio, drop_path_rate=rate) for rate in rates
        )
        self.bias_scale = (dim // sizes['num_heads']) ** -0.5
        self.biases = None
        if relative_bias:
            self.biases = nn.ModuleList(
                nn.Sequential(nn.Linear(3, 64), nn.ReLU(inplace=True), nn.Linear(64, 1))
                for _ in rates
            )

    def group(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Centres and features of the patches.

        Args:
            points: (B, N, in_channels).

        Returns:
            (B, G, 3) and (B, G, patch_dim).

        Raises:
            ValueError: for another shape, too few points, or values that are not finite.
        """
        check_points(points, self.in_channels, self.num_groups)
        xyz = points[..., :3].contiguous()
        center = ops.gather_points(xyz, ops.furthest_point_sample(xyz, self.num_groups))
        idx = ops.ball_query(
            center, xyz, self.radius, self.group_size, inclusive=True, pad_with_first=True
        )
        members = ops.group_points(points, idx)
        members = torch.cat([members[..., :3] - center[:, :, None], members], dim=-1)
        features = self.patch_mlp(members.flatten(0, 2))
        return center, features.unflatten(0, members.shape[:3]).amax(dim=2)

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels), unit sphere; OpenShape's gravity axis is y.

        Returns:
            ``global`` and ``cls`` (B, embed_dim), the class token; ``local`` (B, G, embed_dim), the
            patches after the last block; ``xyz`` (B, G, 3), their centres.

        Raises:
            ValueError: see :meth:`group`.
        """
        center, features = self.group(points)
        tokens = self.lift(torch.cat([center, features], dim=-1))
        tokens = torch.cat([self.cls_token.expand(len(tokens), 1, -1), tokens], dim=1)
        offset = None
        if self.biases is not None:
            place = torch.cat([torch.zeros_like(center[:, :1]), center], dim=1)
            offset = place[:, :, None] - place[:, None]
        for index, block in enumerate(self.blocks):
            bias = None
            if offset is not None:
                # the released code adds it to the products before they are scaled
                bias = self.biases[index](offset)[..., 0][:, None] * self.bias_scale
            tokens = block(tokens, bias)
        return {
            'global': tokens[:, 0],
            'cls': tokens[:, 0],
            'local': tokens[:, 1:],
            'xyz': center,
        }

    def layer_index(self, name: str) -> int:
        """Depth of a parameter for a learning rate that decays with it: 0 to ``num_layers - 1``."""
        part, _, rest = name.partition('.')
        return int(rest.split('.')[0]) + 1 if part in ('blocks', 'biases') else 0
