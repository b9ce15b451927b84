"""Point operators: one public function each, CPU and CUDA, channels last.

Every operator has a naive twin in :mod:`mm3dpretrain.ops.naive` that defines what is right. Clouds
are padded batches (B, N, D) with optional ``lengths`` (B,). Which CUDA kernels are used is one
setting, :func:`set_backend`.
"""

from .assignment import Matching, match_points, start_matching
from .backend import get_backend, set_backend
from .ball_query import ball_query
from .chamfer import chamfer_distance, chamfer_l1, chamfer_l2, nearest_neighbors
from .furthest_point_sample import furthest_point_sample
from .gather import gather_points, group_points
from .knn import KNN, knn
from .three_nn import three_interpolate, three_nn

__all__ = [
    'KNN',
    'Matching',
    'ball_query',
    'chamfer_distance',
    'chamfer_l1',
    'chamfer_l2',
    'furthest_point_sample',
    'gather_points',
    'get_backend',
    'group_points',
    'knn',
    'match_points',
    'nearest_neighbors',
    'set_backend',
    'start_matching',
    'three_interpolate',
    'three_nn',
]
