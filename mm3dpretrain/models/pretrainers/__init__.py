from .base import BasePretrainer
from .drpoint import DRPoint
from .mrd import MRD
from .mvnet import MVNet
from .point_dvae import PointDVAE
from .simipu import SimIPU

__all__ = ['BasePretrainer', 'DRPoint', 'MRD', 'MVNet', 'PointDVAE', 'SimIPU']
