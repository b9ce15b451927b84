from .alignment import MultiModalAlignmentLoss
from .chamfer import ChamferLoss
from .coordinate import CoordinateLoss
from .cross_relation import CrossRelationLoss
from .depth_render import DepthRenderLoss
from .divergences import JeffreyDivergence, KLDivergence, L2Divergence, SmoothL1Divergence
from .dynamic_weights import FixedWeights, UncertaintyWeights
from .feature_transfer import FeatureTransferLoss
from .gather import count_rows, gather_features, gather_rows, sum_over_processes
from .intra_relation import FusedIntraRelationLoss, IntraRelationLoss
from .ntxent import InfoNCELoss, NTXentLoss
from .point_info_nce import PointInfoNCELoss
from .relations import NormalizedSimilarity, RawSimilarity
from .sig_loss import SigLoss

__all__ = [
    'ChamferLoss',
    'CrossRelationLoss',
    'CoordinateLoss',
    'DepthRenderLoss',
    'FeatureTransferLoss',
    'FixedWeights',
    'FusedIntraRelationLoss',
    'InfoNCELoss',
    'IntraRelationLoss',
    'JeffreyDivergence',
    'KLDivergence',
    'L2Divergence',
    'MultiModalAlignmentLoss',
    'NTXentLoss',
    'NormalizedSimilarity',
    'PointInfoNCELoss',
    'RawSimilarity',
    'SigLoss',
    'SmoothL1Divergence',
    'UncertaintyWeights',
    'count_rows',
    'gather_features',
    'gather_rows',
    'sum_over_processes',
]
