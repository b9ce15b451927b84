from .base import BasePretrainer
from .drpoint import DRPoint
from .point_dvae import PointDVAE
from .simipu import SimIPU

__all__ = ['BasePretrainer', 'DRPoint', 'PointDVAE', 'SimIPU']
