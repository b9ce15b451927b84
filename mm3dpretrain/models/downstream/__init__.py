from .completion import CompletionHead, PointCompletion
from .completion_decoders import FoldingUpsampler, TransformerUpsampler
from .depth_decoder import DenseDepthDecoder
from .depth_estimator import DepthEstimator
from .part_segmentor import PartSegHead, PartSegmentor
from .point_classifier import ClassificationHead, PointClassifier
from .point_task import PointTask
from .point_transformer_backbone import PointTransformerBackbone
from .sparse_voxel_backbone import SparseVoxelBackbone

__all__ = [
    'ClassificationHead',
    'CompletionHead',
    'DenseDepthDecoder',
    'DepthEstimator',
    'FoldingUpsampler',
    'PartSegHead',
    'PartSegmentor',
    'PointClassifier',
    'PointCompletion',
    'PointTask',
    'PointTransformerBackbone',
    'SparseVoxelBackbone',
    'TransformerUpsampler',
]
