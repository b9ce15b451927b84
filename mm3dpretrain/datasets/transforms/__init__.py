from .completion import LoadCompletionPair, RandomMirror, RemoveNearest
from .images import ColorJitterView, RandomFlipView, ResizeView
from .loading import LoadPoints, LoadView
from .packing import PackTriplets
from .points import JitterPoints, NormalizePoints, RandomRotate, RandomScaleShift, SamplePoints
from .voting import VoteCopies

__all__ = [
    'ColorJitterView',
    'JitterPoints',
    'LoadCompletionPair',
    'LoadPoints',
    'LoadView',
    'NormalizePoints',
    'PackTriplets',
    'RandomFlipView',
    'RandomMirror',
    'RandomRotate',
    'RandomScaleShift',
    'RemoveNearest',
    'ResizeView',
    'SamplePoints',
    'VoteCopies',
]
