from .base import BasePretrainer
from .drpoint import DRPoint
from .mvnet import MVNet
from .point_dvae import PointDVAE
from .simipu import SimIPU

__all__ = ['BasePretrainer', 'DRPoint', 'MVNet', 'PointDVAE', 'SimIPU']
