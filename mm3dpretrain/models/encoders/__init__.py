from .image_encoder import ImageEncoder, TimmBackbone
from .point_patch_embed import Patches, PointPatchEmbed, check_points, group_points
from .point_transformer import PointTransformer

__all__ = [
    'ImageEncoder',
    'Patches',
    'PointPatchEmbed',
    'PointTransformer',
    'TimmBackbone',
    'check_points',
    'group_points',
]
