"""Importing this package registers its parts; nothing in mm3dpretrain is edited."""

from .ppkt import PPKT

__all__ = ['PPKT']
