from .dense_point_transformer import DensePointTransformer
from .image_encoder import ImageEncoder, TimmBackbone
from .lidar_encoders import LidarBEVEncoder
from .mmdet3d_encoders import PointNet2Encoder, SparseUNetEncoder
from .point_patch_embed import Patches, PointPatchEmbed, check_points, group_points
from .point_transformer import PointTransformer

__all__ = [
    'DensePointTransformer',
    'ImageEncoder',
    'LidarBEVEncoder',
    'Patches',
    'PointNet2Encoder',
    'PointPatchEmbed',
    'PointTransformer',
    'SparseUNetEncoder',
    'TimmBackbone',
    'check_points',
    'group_points',
]
