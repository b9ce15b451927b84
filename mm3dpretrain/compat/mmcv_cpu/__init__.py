"""mmcv's point, voxel and box operators on the CPU, forward and backward.

mmcv 2.1 builds these for CUDA only. All of its operators, and mmdet3d's own, end in functions of
the extension module ``mmcv._ext``; those without a CPU version get one there, so everything above
them (modules, autograd, mmdet3d) is mmcv's own code. CUDA tensors never come here. Kept as they
are, because mmcv has them on the CPU: voxelisation, ``points_in_boxes_cpu``, ``box_iou_rotated``,
``nms``, ``nms_rotated``.

==============  ==================================================================================
module          what it serves
==============  ==================================================================================
``points``      furthest points, ball query, neighbours, grouping, gathering, interpolation
``voxels``      dynamic scatter
``boxes``       points in boxes, overlap (with gradients, too) and suppression of rotated boxes
``naive``       the twins in plain PyTorch that define what is right
==============  ==================================================================================

:func:`mm3dpretrain.compat.set_cpu_ops` or ``MM3D_CPU_OPS`` (auto, on, off) switches all of them.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from types import ModuleType

import torch

from ..cpu_switch import cpu_ops_enabled, serves

# Function of mmcv._ext -> the module here that has a function of the same name and signature.
OPERATORS = {
    'furthest_point_sampling_forward': 'points',
    'furthest_point_sampling_with_dist_forward': 'points',
    'ball_query_forward': 'points',
    'stack_ball_query_forward': 'points',
    'knn_forward': 'points',
    'gather_points_forward': 'points',
    'gather_points_backward': 'points',
    'group_points_forward': 'points',
    'group_points_backward': 'points',
    'stack_group_points_forward': 'points',
    'stack_group_points_backward': 'points',
    'three_nn_forward': 'points',
    'three_interpolate_forward': 'points',
    'three_interpolate_backward': 'points',
    'dynamic_point_to_voxel_forward': 'voxels',
    'dynamic_point_to_voxel_backward': 'voxels',
    'points_in_boxes_part_forward': 'boxes',
    'points_in_boxes_all_forward': 'boxes',
    'iou3d_boxes_overlap_bev_forward': 'boxes',
    'iou3d_nms3d_forward': 'boxes',
    'iou3d_nms3d_normal_forward': 'boxes',
    'diff_iou_rotated_sort_vertices_forward': 'boxes',
}


def _by_device(name: str, original: Callable) -> Callable:
    """The function to put in place of ``original``; imports its kernels at the first call."""

    @functools.wraps(original)
    def operator(*args, **kwargs):
        if not serves(*args, *kwargs.values()):
            return original(*args, **kwargs)
        module = importlib.import_module(f'.{OPERATORS[name]}', __name__)
        return getattr(module, name)(*args, **kwargs)

    operator.mended = True
    return operator


def mend_extension(module: ModuleType) -> None:
    """Put the dispatchers into the extension.

    Args:
        module: ``mmcv._ext``, imported.
    """
    for name in OPERATORS:
        original = getattr(module, name, None)
        if original is not None and not getattr(original, 'mended', False):
            setattr(module, name, _by_device(name, original))


def _mend_forward(function: type, forward: Callable) -> None:
    """Let an autograd function use ``forward`` where its first tensor is one to serve."""
    original = function.forward
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def by_device(ctx, *args, **kwargs):
        if serves(*args, *kwargs.values()):
            return forward(ctx, *args, **kwargs)
        return original(ctx, *args, **kwargs)

    by_device.mended = True
    function.forward = staticmethod(by_device)


def mend_sampling(module: ModuleType) -> None:
    """``FurthestPointSampling`` allocates CUDA tensors whatever it is given.

    Args:
        module: ``mmcv.ops.furthest_point_sample``, imported.
    """

    def forward(ctx, points_xyz: torch.Tensor, num_points: int) -> torch.Tensor:
        batch, size = points_xyz.shape[:2]
        output = torch.empty(batch, num_points, dtype=torch.int32)
        module.ext_module.furthest_point_sampling_forward(
            points_xyz, points_xyz.new_empty(batch, size), output, b=batch, n=size, m=num_points
        )
        ctx.mark_non_differentiable(output)
        return output

    _mend_forward(module.FurthestPointSampling, forward)


def mend_knn(module: ModuleType) -> None:
    """``KNN`` asks for the current CUDA device whatever it is given.

    Args:
        module: ``mmcv.ops.knn``, imported.
    """

    def forward(ctx, k, xyz, center_xyz=None, transposed=False) -> torch.Tensor:
        if not 0 < k < 100:
            raise ValueError(f'k must be between 1 and 99, got {k}')
        center_xyz = xyz if center_xyz is None else center_xyz
        if transposed:
            xyz, center_xyz = xyz.transpose(1, 2), center_xyz.transpose(1, 2)
        batch, num = center_xyz.shape[:2]
        idx = torch.empty(batch, num, k, dtype=torch.int32)
        module.ext_module.knn_forward(
            xyz,
            center_xyz,
            idx,
            xyz.new_empty(idx.shape),
            b=batch,
            n=xyz.shape[1],
            m=num,
            nsample=k,
        )
        idx = idx.transpose(1, 2).contiguous()
        ctx.mark_non_differentiable(idx)
        return idx

    _mend_forward(module.KNN, forward)


def mend_points_in_boxes(module: ModuleType) -> None:
    """``points_in_boxes_part`` and ``_all`` ask for the current CUDA device, too.

    Args:
        module: ``mmcv.ops.points_in_boxes``, imported.
    """
    for name in ('points_in_boxes_part', 'points_in_boxes_all'):
        original = getattr(module, name)
        if getattr(original, 'mended', False):
            continue
        replace_function(original, _points_in_boxes(module, name, original))


def _points_in_boxes(module: ModuleType, name: str, original: Callable) -> Callable:
    @functools.wraps(original)
    def points_in_boxes(points: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        if not serves(points, boxes):
            return original(points, boxes)
        shape = points.shape[:2] if name.endswith('part') else (*points.shape[:2], boxes.shape[1])
        out = torch.empty(shape, dtype=torch.int32)
        getattr(module.ext_module, f'{name}_forward')(boxes, points, out)
        return out

    points_in_boxes.mended = True
    return points_in_boxes


def mend_sparse(module: ModuleType) -> None:
    """Say what to install where mmcv's sparse convolution has no CPU version.

    Args:
        module: ``mmcv.ops.sparse_ops``, imported.
    """
    original = module.get_indice_pairs
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def get_indice_pairs(indices, *args, **kwargs):
        if not serves(indices):
            return original(indices, *args, **kwargs)
        raise ImportError(
            "mmcv's sparse convolution has no CPU version. SECOND, CenterPoint (voxel), MVX-Net, "
            'MinkUNet and Cylinder3D run on the CPU through spconv, which mmdet3d uses by itself '
            "once it is installed: pip install 'mm3dpretrain[sparse]'",
            name='spconv',
        )

    get_indice_pairs.mended = True
    module.get_indice_pairs = get_indice_pairs


def replace_function(original: Callable, new: Callable) -> None:
    """Put ``new`` in place of a function in every OpenMMLab module that holds it by its name."""
    for name, module in list(sys.modules.items()):
        ours = name.partition('.')[0] in ('mmcv', 'mmdet', 'mmdet3d')
        if ours and getattr(module, '__dict__', {}).get(original.__name__) is original:
            setattr(module, original.__name__, new)


__all__ = [
    'OPERATORS',
    'cpu_ops_enabled',
    'mend_extension',
    'mend_knn',
    'mend_points_in_boxes',
    'mend_sampling',
    'mend_sparse',
    'replace_function',
]
