from .folding_decoder import FoldingDecoder
from .masked_token_head import MaskedTokenHead
from .point_decoder import PointDecoder
from .projection_head import ProjectionHead

__all__ = ['FoldingDecoder', 'MaskedTokenHead', 'PointDecoder', 'ProjectionHead']
