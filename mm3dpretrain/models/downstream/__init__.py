from .part_segmentor import PartSegHead, PartSegmentor
from .point_classifier import ClassificationHead, PointClassifier
from .point_task import PointTask
from .point_transformer_backbone import PointTransformerBackbone

__all__ = [
    'ClassificationHead',
    'PartSegHead',
    'PartSegmentor',
    'PointClassifier',
    'PointTask',
    'PointTransformerBackbone',
]
