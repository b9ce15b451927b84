from .base import BasePretrainer
from .clip import CLIPPretrainer
from .drpoint import DRPoint
from .mrd import MRD
from .mvnet import MVNet
from .point_dvae import PointDVAE
from .simipu import SimIPU

__all__ = ['BasePretrainer', 'CLIPPretrainer', 'DRPoint', 'MRD', 'MVNet', 'PointDVAE', 'SimIPU']
