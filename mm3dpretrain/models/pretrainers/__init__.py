from .base import BasePretrainer
from .point_dvae import PointDVAE

__all__ = ['BasePretrainer', 'PointDVAE']
