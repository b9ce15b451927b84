from .point_classifier import ClassificationHead, PointClassifier

__all__ = ['ClassificationHead', 'PointClassifier']
