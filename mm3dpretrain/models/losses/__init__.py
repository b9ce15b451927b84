from .chamfer import ChamferLoss
from .depth_render import DepthRenderLoss
from .gather import gather_features, sum_over_processes
from .ntxent import InfoNCELoss, NTXentLoss
from .point_info_nce import PointInfoNCELoss
from .sig_loss import SigLoss

__all__ = [
    'ChamferLoss',
    'DepthRenderLoss',
    'InfoNCELoss',
    'NTXentLoss',
    'PointInfoNCELoss',
    'SigLoss',
    'gather_features',
    'sum_over_processes',
]
