from .meta_hook import CheckpointMetaHook
from .seed_hook import IterSeedHook

__all__ = ['CheckpointMetaHook', 'IterSeedHook']
