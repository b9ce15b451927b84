from .point_patch_embed import Patches, PointPatchEmbed, check_points, group_points
from .point_transformer import PointTransformer

__all__ = [
    'Patches',
    'PointPatchEmbed',
    'PointTransformer',
    'check_points',
    'group_points',
]
