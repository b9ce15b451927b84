from .masking import block_mask, draw_mask_counts, random_mask, select_patches
from .transformer import (
    FeedForward,
    SelfAttention,
    TransformerBlock,
    TransformerBlocks,
    drop_path,
    init_transformer_weights,
    position_mlp,
)

__all__ = [
    'FeedForward',
    'SelfAttention',
    'TransformerBlock',
    'TransformerBlocks',
    'block_mask',
    'draw_mask_counts',
    'drop_path',
    'init_transformer_weights',
    'position_mlp',
    'random_mask',
    'select_patches',
]
