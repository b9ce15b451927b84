from .completion import CompletionHead, PointCompletion
from .completion_decoders import FoldingUpsampler, TransformerUpsampler
from .part_segmentor import PartSegHead, PartSegmentor
from .point_classifier import ClassificationHead, PointClassifier
from .point_task import PointTask
from .point_transformer_backbone import PointTransformerBackbone

__all__ = [
    'ClassificationHead',
    'CompletionHead',
    'FoldingUpsampler',
    'PartSegHead',
    'PartSegmentor',
    'PointClassifier',
    'PointCompletion',
    'PointTask',
    'PointTransformerBackbone',
    'TransformerUpsampler',
]
