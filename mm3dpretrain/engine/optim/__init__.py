from .bfloat16 import BFloat16OptimWrapper
from .multi_optim import MultiOptimWrapper, MultiOptimWrapperConstructor

__all__ = ['BFloat16OptimWrapper', 'MultiOptimWrapper', 'MultiOptimWrapperConstructor']
