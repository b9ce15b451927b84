"""Importing this package registers its parts; nothing in mm3dpretrain is edited."""

from .decoupled_loss import DecoupledContrastLoss
from .pixel_renderer import NearestPixelRenderer
from .pointnet import TinyPointNet

__all__ = ['DecoupledContrastLoss', 'NearestPixelRenderer', 'TinyPointNet']
