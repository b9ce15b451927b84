from .chamfer import ChamferLoss
from .coordinate import CoordinateLoss
from .depth_render import DepthRenderLoss
from .feature_transfer import FeatureTransferLoss
from .gather import gather_features, sum_over_processes
from .ntxent import InfoNCELoss, NTXentLoss
from .point_info_nce import PointInfoNCELoss
from .sig_loss import SigLoss

__all__ = [
    'ChamferLoss',
    'CoordinateLoss',
    'DepthRenderLoss',
    'FeatureTransferLoss',
    'InfoNCELoss',
    'NTXentLoss',
    'PointInfoNCELoss',
    'SigLoss',
    'gather_features',
    'sum_over_processes',
]
