from .bfloat16 import BFloat16OptimWrapper
from .layer_decay import LayerDecayOptimWrapperConstructor
from .multi_optim import MultiOptimWrapper, MultiOptimWrapperConstructor
from .one_cycle import OneCycleLR

__all__ = [
    'BFloat16OptimWrapper',
    'LayerDecayOptimWrapperConstructor',
    'MultiOptimWrapper',
    'MultiOptimWrapperConstructor',
    'OneCycleLR',
]
