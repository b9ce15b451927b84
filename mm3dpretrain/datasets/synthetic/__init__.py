"""The embedded data: shapes built from code, and the writer that puts them into files."""

from .deform import Deformation
from .shapes import CATEGORIES, SyntheticCloud, SyntheticShape, SyntheticShapes
from .writer import write_synthetic_shapes

__all__ = [
    'CATEGORIES',
    'Deformation',
    'SyntheticCloud',
    'SyntheticShape',
    'SyntheticShapes',
    'write_synthetic_shapes',
]
