"""Where is the pixel of one view in the other one?"""

from __future__ import annotations

import math

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain.registry import MODELS

from ..utils.transformer import FeedForward, TransformerBlocks


@MODELS.register_module()
class CorrespondenceHead(BaseModule):
    """A transformer that decodes the pixel in the partner view for a query pixel.

    Structure of term (c) of MVNet, ``q^ = h(F~_a, F~_b, p)`` with a regression of coordinates;
    all of the following is this toolbox's choice, after COTR. The feature maps of both views are
    pooled to ``grid`` tokens each over the cells where a point is seen, and an encoder sees them
    side by side. A query, its sinusoidal position and the feature projected to it, asks all tokens
    of both views in each layer of the decoder; queries do not see each other. What it learns there
    moves its feature, and its coordinates are the mean position of the partner's cells, weighted by
    how near their features are to it: ``softmax(-s |q - k|^2)``, s learned. Equal features lead to
    each other from the first step on, and the finer the maps, the finer the answer. An offset by an
    MLP reaches pixels whose cell shows no point.

    Args:
        in_channels: C of the feature maps.
        embed_dim: width of the transformer, a multiple of 4 and of ``num_heads``.
        num_heads: heads per layer.
        encoder_depth: layers of the encoder.
        decoder_depth: layers of the decoder.
        grid: tokens of a view along both sides.
        mlp_ratio: hidden width of the MLPs over ``embed_dim``.
        loss: of predicted and true coordinates, default :class:`CoordinateLoss`.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for widths that do not fit.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dim: int = 256,
        num_heads: int = 8,
        encoder_depth: int = 2,
        decoder_depth: int = 2,
        grid: int = 16,
        mlp_ratio: float = 2.0,
        loss: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dim % 4 or embed_dim % num_heads:
            raise ValueError(
                f'embed_dim must be a multiple of 4 and of num_heads={num_heads}, got {embed_dim}'
            )
        self.grid = grid
        self.embed_dim = embed_dim
        # one for tokens and queries: what looks alike lies together from the first step on
        self.embed = nn.Sequential(nn.Linear(in_channels, embed_dim), nn.LayerNorm(embed_dim))
        #: added to the positions in the own and in the partner view, and to cells without points
        self.side = nn.Parameter(torch.zeros(2, embed_dim))
        self.empty = nn.Parameter(torch.zeros(embed_dim))
        nn.init.trunc_normal_(self.side, std=0.02)
        self.encoder = TransformerBlocks(embed_dim, encoder_depth, num_heads, mlp_ratio)
        for layer in self.encoder.layers:
            # begins as the identity: equal features lead to each other from the first step on
            for last in (layer.attn.proj, layer.mlp.fc2):
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
        self.norm = nn.LayerNorm(embed_dim)
        self.decoder = nn.ModuleList(
            _DecoderLayer(embed_dim, num_heads, mlp_ratio) for _ in range(decoder_depth)
        )
        self.readout = nn.LayerNorm(embed_dim)
        self.move = nn.Linear(embed_dim, embed_dim)
        #: log of the sharpness s; unrelated features, 2 embed_dim apart, weigh exp(-4) at first
        self.log_sharpness = nn.Parameter(torch.tensor(math.log(4 / (2 * embed_dim))))
        self.offset = nn.Sequential(
            nn.Linear(embed_dim, embed_dim), nn.GELU(), nn.Linear(embed_dim, 2)
        )
        for last in (self.move, self.offset[-1]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.coordinate_loss = MODELS.build(loss or dict(type='CoordinateLoss'))

    def forward(
        self, maps: Tensor, mask: Tensor, queries: Tensor, image_size: tuple[int, int]
    ) -> Tensor:
        """The pixels in the partner views.

        Args:
            maps: (B, V, in_channels, h, w) projected features, V even; the partner of view v is
                v ^ 1. They cover the pictures.
            mask: bool (B, V, h, w), where a point is seen.
            queries: (B, V, Q, 2), (u, v) pixels in each view; what is not finite counts as 0.
            image_size: (H, W) of the pictures.

        Returns:
            (B, V, Q, 2) pixels in view v ^ 1, possibly outside of its picture.
        """
        size = queries.new_tensor([image_size[1], image_size[0]])
        return self._predict(maps, mask, (queries / size).nan_to_num(0.0, 0.0, 0.0)) * size

    def loss(
        self,
        maps: Tensor,
        mask: Tensor,
        queries: Tensor,
        targets: Tensor,
        valid: Tensor,
        image_size: tuple[int, int],
    ) -> dict[str, Tensor]:
        """Loss and the median error of the valid queries.

        Args:
            maps, mask, queries, image_size: see :meth:`forward`.
            targets: (B, V, Q, 2) true pixels in view v ^ 1.
            valid: bool (B, V, Q): seen in both views.

        Returns:
            ``loss``, a scalar, and ``median_px``, pixels, 0 without valid queries.
        """
        predicted = self(maps, mask, queries, image_size)
        size = queries.new_tensor([image_size[1], image_size[0]])
        value = self.coordinate_loss(predicted / size, targets / size, valid)
        error = (predicted - targets).detach().norm(dim=-1)[valid]
        median = error.median() if len(error) else value.new_zeros(())
        return dict(loss=value, median_px=median)

    # ---------------------------------------------------------------- parts

    def _predict(self, maps: Tensor, mask: Tensor, queries: Tensor) -> Tensor:
        """Everything in shares of the picture."""
        views = maps.shape[:2]
        if views[1] % 2:
            raise ValueError(f'views come in pairs, got {views[1]} of them')
        positions = sinusoid(_centers(maps, self.grid), self.embed_dim)
        tokens, seen = pool_maps(maps, mask, self.grid)
        tokens = torch.where(seen[..., None], self.embed(tokens), self.empty)
        both = torch.cat([tokens, partner(tokens)], dim=2).flatten(0, 1)
        place = torch.cat([positions + self.side[0], positions + self.side[1]])
        memory = self.encoder(both, place.expand(len(both), -1, -1))[0]
        memory = self.norm(memory) + place

        own, found = sample_cells(maps, mask, queries)
        own = self.embed(own) * found[..., None]
        x = (own + sinusoid(queries, self.embed_dim) + self.side[0]).flatten(0, 1)
        for layer in self.decoder:
            x = layer(x, memory)
        x = self.readout(x)
        wanted = own.flatten(0, 1) + self.move(x)
        cells = self.embed(partner(maps).flatten(3).mT).flatten(0, 1)
        weight = self._point(wanted, cells, partner(mask).flatten(0, 1).flatten(1))
        where = weight @ _centers(maps) + self.offset(x)
        return where.unflatten(0, views).to(queries.dtype)

    def _point(self, wanted: Tensor, cells: Tensor, seen: Tensor) -> Tensor:
        """Weights (P, Q, M) of the partner's cells (P, M, D), where they have points."""
        # a matrix product instead of differences (P, Q, M, D)
        distance = (
            wanted.square().sum(-1, keepdim=True)
            - 2 * wanted @ cells.mT
            + cells.square().sum(-1)[:, None]
        )
        logits = -self.log_sharpness.exp() * distance
        # a view without any point keeps all of its cells
        blocked = ~seen & seen.any(1, keepdim=True)
        return logits.masked_fill(blocked[:, None], float('-inf')).softmax(-1)


class _DecoderLayer(nn.Module):
    """Pre-norm attention from queries to tokens, then an MLP."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """(P, Q, dim) queries and (P, M, dim) tokens to (P, Q, dim)."""

        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

        key, value = self.key_value(memory).chunk(2, dim=-1)
        out = F.scaled_dot_product_attention(
            heads(self.query(self.norm1(x))), heads(key), heads(value)
        )
        x = x + self.proj(out.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


def partner(x: Tensor) -> Tensor:
    """Entries (B, V, ...) of the partner views: v ^ 1 in place of v."""
    return x.unflatten(1, (-1, 2)).flip(2).flatten(1, 2)


def sinusoid(positions: Tensor, dim: int) -> Tensor:
    """sin and cos of ``k pi x`` for k = 1 ... dim / 4 and both axes: (..., 2) to (..., dim)."""
    k = torch.arange(1, dim // 4 + 1, device=positions.device, dtype=positions.dtype)
    angle = (math.pi * positions[..., None] * k).flatten(-2)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def pool_maps(maps: Tensor, mask: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Means over the seen cells of a coarse grid.

    Args:
        maps: (B, V, C, h, w).
        mask: bool (B, V, h, w).
        grid: cells along both sides of the result.

    Returns:
        (B, V, grid^2, C), 0 where nothing is seen, and bool (B, V, grid^2), where something is.
    """
    views = maps.shape[:2]
    weight = mask[:, :, None].to(maps.dtype)
    total = F.adaptive_avg_pool2d((maps * weight).flatten(0, 1), grid)
    share = F.adaptive_avg_pool2d(weight.flatten(0, 1), grid)
    pooled = total / torch.where(share > 0, share, torch.ones_like(share))
    return (
        pooled.flatten(2).mT.unflatten(0, views),
        (share > 0).flatten(1).unflatten(0, views),
    )


def sample_cells(maps: Tensor, mask: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """The one cell below each position.

    Args:
        maps: (B, V, C, h, w).
        mask: bool (B, V, h, w).
        positions: (B, V, Q, 2), (u, v) as shares of the picture.

    Returns:
        (B, V, Q, C) and bool (B, V, Q), whether a point is seen there.
    """
    height, width = maps.shape[-2:]
    column = (positions[..., 0].nan_to_num(0.0) * width).floor().clamp(0, width - 1).long()
    row = (positions[..., 1].nan_to_num(0.0) * height).floor().clamp(0, height - 1).long()
    cell = row * width + column
    rows = maps.flatten(3).mT.gather(2, cell[..., None].expand(-1, -1, -1, maps.shape[2]))
    return rows, mask.flatten(2).gather(2, cell)


def _centers(maps: Tensor, grid: int | None = None) -> Tensor:
    """(M, 2) centres (u, v) of the cells of maps (..., h, w), or of a grid, row by row."""
    rows, columns = maps.shape[-2:] if grid is None else (grid, grid)
    v, u = (
        (torch.arange(n, device=maps.device, dtype=maps.dtype) + 0.5) / n for n in (rows, columns)
    )
    v, u = torch.meshgrid(v, u, indexing='ij')
    return torch.stack([u, v], dim=-1).flatten(0, 1)
