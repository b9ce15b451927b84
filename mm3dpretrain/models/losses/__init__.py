from .chamfer import ChamferLoss
from .depth_render import DepthRenderLoss, normalize_depth
from .gather import gather_features, sum_over_processes
from .ntxent import InfoNCELoss, NTXentLoss

__all__ = [
    'ChamferLoss',
    'DepthRenderLoss',
    'InfoNCELoss',
    'NTXentLoss',
    'gather_features',
    'normalize_depth',
    'sum_over_processes',
]
