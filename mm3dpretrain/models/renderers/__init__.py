from .base import BaseRenderer, RenderOutput
from .point_splat import PointSplatRenderer
from .views import (
    CubeCornerViews,
    OrbitViews,
    RandomViews,
    cube_corner_views,
    make_intrinsics,
    orbit_views,
    random_views,
)

__all__ = [
    'BaseRenderer',
    'CubeCornerViews',
    'OrbitViews',
    'PointSplatRenderer',
    'RandomViews',
    'RenderOutput',
    'cube_corner_views',
    'make_intrinsics',
    'orbit_views',
    'random_views',
]
