"""Transformer parts shared by the point encoders and decoders.

The layout (pre-norm blocks, position added before every block, no bias in the query, key and value
projections) is the one of Point-BERT and Point-MAE.
"""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F


def drop_path(x: Tensor, rate: float, training: bool) -> Tensor:
    """Stochastic depth: drops whole samples of a residual branch.

    Args:
        x: (B, ...) output of the branch.
        rate: probability in [0, 1) to drop a sample; survivors are divided by ``1 - rate``.
        training: outside training ``x`` is returned unchanged.

    Returns:
        A tensor like ``x``.
    """
    if rate == 0.0 or not training:
        return x
    keep = x.new_empty((x.shape[0],) + (1,) * (x.dim() - 1)).bernoulli_(1.0 - rate)
    return x * (keep / (1.0 - rate))


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection.

    Args:
        dim: channels, divisible by ``num_heads``.
        num_heads: number of heads.
        qkv_bias: whether query, key and value projections have a bias.
    """

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool = False) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f'dim must be divisible by num_heads, got {dim} and {num_heads}')
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(B, N, dim) to (B, N, dim).

        Args:
            x: tokens.
            bias: added to the scaled products of query and key, broadcast to (B, heads, N, N).
        """
        batch, length, dim = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.num_heads, dim // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(x.transpose(1, 2).reshape(batch, length, dim))


class FeedForward(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., dim) to (..., dim)."""
        return self.fc2(F.gelu(self.fc1(x)))


class TransformerBlock(nn.Module):
    """Pre-norm block ``x + attn(norm(x))`` then ``x + mlp(norm(x))``.

    Args:
        dim: channels.
        num_heads: heads of the attention.
        mlp_ratio: hidden width of the MLP over ``dim``.
        qkv_bias: see :class:`SelfAttention`.
        drop_path_rate: probability to skip a residual branch of a sample while training.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, num_heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FeedForward(dim, int(dim * mlp_ratio))
        self.drop_path_rate = float(drop_path_rate)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """(B, N, dim) to (B, N, dim); ``bias`` as in :class:`SelfAttention`."""
        x = x + drop_path(self.attn(self.norm1(x), bias), self.drop_path_rate, self.training)
        return x + drop_path(self.mlp(self.norm2(x)), self.drop_path_rate, self.training)


class TransformerBlocks(BaseModule):
    """A stack of blocks that receives the positions anew before every block.

    Args:
        dim: channels.
        depth: number of blocks.
        num_heads: heads per block.
        mlp_ratio: hidden width of the MLPs over ``dim``.
        qkv_bias: see :class:`SelfAttention`.
        drop_path_rate: rate of the last block; it rises linearly from 0 at the first.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        drop_path_rate: float = 0.0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0.0 <= drop_path_rate < 1.0:
            raise ValueError(f'drop_path_rate must be in [0, 1), got {drop_path_rate}')
        rates = [drop_path_rate * index / max(depth - 1, 1) for index in range(depth)]
        self.layers = nn.ModuleList(
            TransformerBlock(dim, num_heads, mlp_ratio, qkv_bias, rate) for rate in rates
        )

    def forward(
        self, x: Tensor, pos: Tensor, out_indices: tuple[int, ...] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Run the blocks.

        Args:
            x: (B, N, dim) tokens.
            pos: (B, N, dim) positions, added before each block.
            out_indices: 0-based blocks whose outputs are wanted as well.

        Returns:
            The output (B, N, dim) and the list of the wanted ones, in the order of the blocks.
        """
        collected = []
        for index, layer in enumerate(self.layers):
            x = layer(x + pos)
            if index in out_indices:
                collected.append(x)
        return x, collected


def position_mlp(dim: int, hidden_dim: int = 128) -> nn.Sequential:
    """MLP of the positions: (..., 3) coordinates to (..., dim)."""
    return nn.Sequential(nn.Linear(3, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, dim))


def init_transformer_weights(module: nn.Module, std: float = 0.02) -> None:
    """Initialise in place as Point-BERT does.

    Linear weights are drawn from a normal distribution truncated at two absolute units, with
    standard deviation ``std``; biases are 0, layer norms the identity. Batch norms are left alone.
    """
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Conv1d)):
            nn.init.trunc_normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)
