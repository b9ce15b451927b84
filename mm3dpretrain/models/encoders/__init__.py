from .clip_teacher import CLIPTeacher
from .dense_point_transformer import DensePointTransformer
from .espnet import ESPNetTeacher
from .frozen_teacher import FrozenTeacher
from .hub_teachers import OpenCLIPTeacher, TimmTeacher
from .image_encoder import ImageEncoder, TimmBackbone
from .image_teachers import BackboneTeacher, ImageTeacher, MobileNetV2Teacher
from .lidar_encoders import LidarBEVEncoder
from .mmdet3d_encoders import PointNet2Encoder, SparseUNetEncoder
from .point_patch_embed import Patches, PointPatchEmbed, check_points, group_points
from .point_transformer import PointTransformer
from .ppat import PPAT
from .sparse_resnet import SparseResNetEncoder
from .text_bank import TextBank
from .uni3d import Uni3DViT

__all__ = [
    'PPAT',
    'BackboneTeacher',
    'CLIPTeacher',
    'DensePointTransformer',
    'ESPNetTeacher',
    'FrozenTeacher',
    'ImageEncoder',
    'ImageTeacher',
    'LidarBEVEncoder',
    'MobileNetV2Teacher',
    'OpenCLIPTeacher',
    'Patches',
    'PointNet2Encoder',
    'PointPatchEmbed',
    'PointTransformer',
    'SparseResNetEncoder',
    'SparseUNetEncoder',
    'TextBank',
    'TimmBackbone',
    'TimmTeacher',
    'Uni3DViT',
    'check_points',
    'group_points',
]
