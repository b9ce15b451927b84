from .bfloat16 import BFloat16OptimWrapper
from .multi_optim import MultiOptimWrapper, MultiOptimWrapperConstructor
from .one_cycle import OneCycleLR

__all__ = [
    'BFloat16OptimWrapper',
    'MultiOptimWrapper',
    'MultiOptimWrapperConstructor',
    'OneCycleLR',
]
