from .images import ColorJitterView, RandomFlipView, ResizeView
from .loading import LoadPoints, LoadView
from .packing import PackTriplets
from .points import JitterPoints, NormalizePoints, RandomRotate, RandomScaleShift, SamplePoints
from .voting import VoteCopies

__all__ = [
    'ColorJitterView',
    'JitterPoints',
    'LoadPoints',
    'LoadView',
    'NormalizePoints',
    'PackTriplets',
    'RandomFlipView',
    'RandomRotate',
    'RandomScaleShift',
    'ResizeView',
    'SamplePoints',
    'VoteCopies',
]
