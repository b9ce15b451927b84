"""Importing this package registers its parts; nothing in mm3dpretrain is edited."""

from .slidr import SLidR
from .superpixels import PackSuperpixelPairs

__all__ = ['PackSuperpixelPairs', 'SLidR']
