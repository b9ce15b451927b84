from .base import BaseRenderer, RenderOutput
from .mesh import MeshRenderer
from .p2i import p2i_max
from .point_projector import PointProjector, cameras_from_projection, transform_cameras
from .point_splat import PointSplatRenderer
from .sparenet import SpareNetDepthRenderer
from .views import (
    CubeCornerViews,
    OrbitViews,
    RandomViews,
    SpareNetViews,
    cube_corner_views,
    make_intrinsics,
    orbit_views,
    random_views,
    sparenet_views,
)

__all__ = [
    'BaseRenderer',
    'CubeCornerViews',
    'MeshRenderer',
    'OrbitViews',
    'PointProjector',
    'PointSplatRenderer',
    'RandomViews',
    'RenderOutput',
    'SpareNetDepthRenderer',
    'SpareNetViews',
    'cameras_from_projection',
    'cube_corner_views',
    'make_intrinsics',
    'orbit_views',
    'p2i_max',
    'random_views',
    'sparenet_views',
    'transform_cameras',
]
