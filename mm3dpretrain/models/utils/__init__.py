from .activation_checkpointing import checkpoint_activations
from .masking import block_mask, draw_mask_counts, random_mask, select_patches
from .patch_dgcnn import EdgeConv, PatchDGCNN
from .pretrained_parts import PretrainedParts
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
    'EdgeConv',
    'FeedForward',
    'PatchDGCNN',
    'PretrainedParts',
    'SelfAttention',
    'TransformerBlock',
    'TransformerBlocks',
    'block_mask',
    'checkpoint_activations',
    'draw_mask_counts',
    'drop_path',
    'init_transformer_weights',
    'position_mlp',
    'random_mask',
    'select_patches',
]
