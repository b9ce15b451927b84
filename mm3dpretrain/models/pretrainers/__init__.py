from .base import BasePretrainer

__all__ = ['BasePretrainer']
