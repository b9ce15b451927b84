from .folding_decoder import FoldingDecoder
from .masked_token_head import MaskedTokenHead
from .momentum_contrast import MomentumContrast, MomentumTwin
from .point_decoder import PointDecoder
from .projection_head import ProjectionHead, ProjectionMLP

__all__ = [
    'FoldingDecoder',
    'MaskedTokenHead',
    'MomentumContrast',
    'MomentumTwin',
    'PointDecoder',
    'ProjectionHead',
    'ProjectionMLP',
]
