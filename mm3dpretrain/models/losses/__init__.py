from .chamfer import ChamferLoss
from .depth_render import DepthRenderLoss
from .gather import gather_features, sum_over_processes
from .ntxent import InfoNCELoss, NTXentLoss

__all__ = [
    'ChamferLoss',
    'DepthRenderLoss',
    'InfoNCELoss',
    'NTXentLoss',
    'gather_features',
    'sum_over_processes',
]
