from .completion import LoadCompletionPair, RandomMirror, RemoveNearest
from .depth import (
    KBCrop,
    LidarDepthTargets,
    LoadDepth,
    LoadDepthImage,
    NYUCrop,
    PackDepth,
    RandomCropDepth,
    RandomFlipDepth,
    RandomGammaColor,
    RandomRotateDepth,
    ResizeDepth,
)
from .embeddings import LoadEmbeddings, PickEmbeddings, TokenizeCaption
from .frames import (
    DropDepth,
    LoadFrames,
    LoadSceneCloud,
    PackFrames,
    ResizeFrames,
    RotateScaleScene,
    SampleCorrespondences,
)
from .images import ColorJitterView, RandomFlipView, ResizeView
from .lidar import (
    LidarDepth,
    LoadLidar,
    PointsInPicture,
    PointsInRange,
    SampleLidar,
    TurnLidar,
    TwoViewPoints,
)
from .loading import LoadPoints, LoadView
from .mmdet3d_points import ScaleIntensity
from .packing import PackTriplets
from .pairs import (
    CropPictures,
    FlipPictures,
    JitterPictures,
    LoadPictures,
    PackPairs,
    ResizePictures,
)
from .points import JitterPoints, NormalizePoints, RandomRotate, RandomScaleShift, SamplePoints
from .shapes import DropPoints, FillColors, TiltPoints
from .teacher import LoadTeacherFeatures, PickView
from .voting import VoteCopies

__all__ = [
    'ColorJitterView',
    'CropPictures',
    'DropDepth',
    'DropPoints',
    'FillColors',
    'FlipPictures',
    'JitterPictures',
    'JitterPoints',
    'KBCrop',
    'LidarDepth',
    'LidarDepthTargets',
    'LoadCompletionPair',
    'LoadDepth',
    'LoadDepthImage',
    'LoadEmbeddings',
    'LoadFrames',
    'LoadLidar',
    'LoadPictures',
    'LoadPoints',
    'LoadSceneCloud',
    'LoadTeacherFeatures',
    'LoadView',
    'NYUCrop',
    'NormalizePoints',
    'PackDepth',
    'PackFrames',
    'PackPairs',
    'PackTriplets',
    'PickEmbeddings',
    'PickView',
    'PointsInPicture',
    'PointsInRange',
    'RandomCropDepth',
    'RandomFlipDepth',
    'RandomFlipView',
    'RandomGammaColor',
    'RandomMirror',
    'RandomRotate',
    'RandomRotateDepth',
    'RandomScaleShift',
    'RemoveNearest',
    'ResizeDepth',
    'ResizeFrames',
    'ResizePictures',
    'ResizeView',
    'RotateScaleScene',
    'SampleCorrespondences',
    'SampleLidar',
    'SamplePoints',
    'ScaleIntensity',
    'TiltPoints',
    'TurnLidar',
    'TokenizeCaption',
    'TwoViewPoints',
    'VoteCopies',
]
