from .point_classifier import ClassificationHead, PointClassifier
from .point_transformer_backbone import PointTransformerBackbone

__all__ = ['ClassificationHead', 'PointClassifier', 'PointTransformerBackbone']
