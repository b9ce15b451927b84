from .base import BasePretrainer
from .drpoint import DRPoint
from .point_dvae import PointDVAE

__all__ = ['BasePretrainer', 'DRPoint', 'PointDVAE']
