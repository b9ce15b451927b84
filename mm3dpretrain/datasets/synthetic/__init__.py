"""The embedded data: shapes, rooms and streets built from code, and what writes them to files."""

from .deform import Deformation
from .rooms import make_room
from .rooms_writer import write_synthetic_rooms
from .shapes import CATEGORIES, SyntheticCloud, SyntheticShape, SyntheticShapes
from .streets import make_street
from .streets_writer import write_synthetic_streets
from .writer import write_synthetic_shapes

__all__ = [
    'CATEGORIES',
    'Deformation',
    'SyntheticCloud',
    'SyntheticShape',
    'SyntheticShapes',
    'make_room',
    'make_street',
    'write_synthetic_rooms',
    'write_synthetic_shapes',
    'write_synthetic_streets',
]
