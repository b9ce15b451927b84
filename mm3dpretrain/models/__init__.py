from . import downstream, encoders, heads, losses, necks, pretrainers, renderers  # noqa: F401
from .data_preprocessor import PretrainDataPreprocessor

__all__ = ['PretrainDataPreprocessor']
