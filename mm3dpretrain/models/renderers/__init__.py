from .base import BaseRenderer, RenderOutput
from .kaolin import KaolinMeshRenderer
from .mesh import MeshRenderer
from .mesh_shading import shade
from .p2i import p2i_max
from .point_projector import PointProjector, cameras_from_projection, transform_cameras
from .point_splat import PointSplatRenderer
from .pose_views import PoseViews, pose_views
from .sparenet import SpareNetDepthRenderer
from .views import (
    CapViews,
    CubeCornerViews,
    IcosahedronViews,
    OrbitViews,
    RandomViews,
    SpareNetViews,
    cap_views,
    cube_corner_views,
    icosahedron_views,
    make_intrinsics,
    orbit_views,
    random_views,
    sparenet_views,
)

__all__ = [
    'BaseRenderer',
    'CapViews',
    'CubeCornerViews',
    'IcosahedronViews',
    'KaolinMeshRenderer',
    'MeshRenderer',
    'OrbitViews',
    'PointProjector',
    'PointSplatRenderer',
    'PoseViews',
    'RandomViews',
    'RenderOutput',
    'SpareNetDepthRenderer',
    'SpareNetViews',
    'cameras_from_projection',
    'cap_views',
    'cube_corner_views',
    'icosahedron_views',
    'make_intrinsics',
    'orbit_views',
    'p2i_max',
    'pose_views',
    'random_views',
    'shade',
    'sparenet_views',
    'transform_cameras',
]
