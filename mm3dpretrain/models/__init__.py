from . import downstream, encoders, heads, losses, necks, pretrainers, renderers, utils  # noqa: F401
from .data_preprocessor import PretrainDataPreprocessor
from .pair_preprocessor import PairDataPreprocessor

__all__ = ['PairDataPreprocessor', 'PretrainDataPreprocessor']
