from .contrastive_correspondence_head import ContrastiveCorrespondenceHead
from .correspondence_head import CorrespondenceHead
from .folding_decoder import FoldingDecoder
from .masked_token_head import MaskedTokenHead
from .momentum_contrast import MomentumContrast, MomentumTwin
from .pixel_head import PixelHead
from .point_decoder import PointDecoder
from .projection_head import ProjectionHead, ProjectionMLP

__all__ = [
    'ContrastiveCorrespondenceHead',
    'CorrespondenceHead',
    'FoldingDecoder',
    'MaskedTokenHead',
    'MomentumContrast',
    'MomentumTwin',
    'PixelHead',
    'PointDecoder',
    'ProjectionHead',
    'ProjectionMLP',
]
