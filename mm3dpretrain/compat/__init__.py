"""All that makes the pinned stack work together; nothing else may patch another library.

``apply()`` runs when :mod:`mm3dpretrain` is imported. It imports none of the libraries it mends:
each mend waits until that library is imported and does nothing where it is not needed.

=====================  ===========================================================================
module                 what it mends
=====================  ===========================================================================
``torchvision_ops``    torchvision beside a CPU-only torch, whose native operators cannot load
``checkpoints``        MMEngine's checkpoints load *safely*, on torch 2.1 as on torch >= 2.6, and
                       are written completely or not at all
``versions``           a readable message where the OpenMMLab versions do not fit
``spconv_cpu``         training and predicting with spconv's layers without CUDA
``mmcv_cpu``           mmcv's point, voxel and box operators on the CPU
``mmdet3d_cpu``        what in mmdet3d asks for CUDA whatever device its tensors are on, and the
                       missing development kits of its data sets by name
``kitti_eval_cpu``     KITTI's average precision without ``numba.cuda``
``allocator``          memory that training on the CPU would give back and ask for at each step
``cpu_switch``         the switch of the last four: :func:`set_cpu_ops`, ``MM3D_CPU_OPS``
``spconv_layout``      loading spconv 2 kernels whose state dict lost its version
``numpy_names``        mmdet3d's ``ObjectSample`` beside NumPy 1.24 to 1.26
``optional``           :func:`require`, one clear error for a missing optional package
``kaolin``             ``require_kaolin``: a Kaolin that really draws, or what to install
=====================  ===========================================================================
"""

from __future__ import annotations

import warnings

from .import_hooks import when_imported
from .optional import require
from .versions import VersionError, check_versions

check_versions('mm3dpretrain')  # before the modules that cannot do without torch

from . import (  # noqa: E402
    allocator,
    checkpoints,
    kitti_eval_cpu,
    mmcv_cpu,
    mmdet3d_cpu,
    numpy_names,
    spconv_cpu,
    spconv_layout,
    torchvision_ops,
)
from .checkpoints import CheckpointError, load_checkpoint  # noqa: E402
from .cpu_switch import cpu_ops_enabled, set_cpu_ops  # noqa: E402

__all__ = [
    'CheckpointError',
    'VersionError',
    'apply',
    'check_versions',
    'cpu_ops_enabled',
    'load_checkpoint',
    'require',
    'set_cpu_ops',
]


def _check_stack(module) -> None:
    check_versions(module.__name__)


def apply(cpu_ops: str | None = None) -> None:
    """Mend the stack. Cheap, and safe to call more than once.

    Args:
        cpu_ops: When CPU kernels serve mmcv's operators, see :func:`set_cpu_ops`; None leaves
            that as it is.

    Raises:
        ValueError: Another value than ``'auto'``, ``'on'`` or ``'off'``.
    """
    if cpu_ops is not None:
        set_cpu_ops(cpu_ops)
    # MMEngine 0.10 asks pkg_resources which packages are there; setuptools 80 warns each time.
    warnings.filterwarnings(
        'ignore', message='pkg_resources is deprecated as an API', category=UserWarning
    )

    checkpoints.allow_mmengine_classes()
    when_imported('mmengine.runner.checkpoint', after=checkpoints.use_safe_loaders)
    when_imported('mmengine.runner.checkpoint', after=checkpoints.explain_prefix)
    for module in ('mmengine.runner', 'mmengine.runner.runner'):  # hold the function by name
        when_imported(module, after=checkpoints.use_atomic_save)
    when_imported('torchvision', before=torchvision_ops.define_missing_ops)
    when_imported('spconv.pytorch.ops', after=spconv_cpu.mend_stream)
    when_imported('spconv.pytorch.ops', after=spconv_cpu.mend_scatter)
    when_imported(
        'mmdet3d.models.layers.spconv.overwrite_spconv.write_spconv2',
        after=spconv_layout.mend_loading,
    )
    when_imported('spconv.pytorch.ops', after=spconv_cpu.mend_bias)
    when_imported('spconv.pytorch.core', after=spconv_cpu.mend_features)
    when_imported('mmcv._ext', after=mmcv_cpu.mend_extension)
    when_imported('mmcv.ops.furthest_point_sample', after=mmcv_cpu.mend_sampling)
    when_imported('mmcv.ops.knn', after=mmcv_cpu.mend_knn)
    when_imported('mmcv.ops.points_in_boxes', after=mmcv_cpu.mend_points_in_boxes)
    when_imported('mmcv.ops.sparse_ops', after=mmcv_cpu.mend_sparse)
    for part in ('datasets', 'evaluation'):
        when_imported(f'mmdet3d.{part}', before=mmdet3d_cpu.check_kits)
    when_imported('mmdet3d.datasets.transforms.dbsampler', after=numpy_names.mend_long)
    when_imported('mmdet3d.models', after=allocator.mend_allocator)
    when_imported(
        'mmdet3d.models.data_preprocessors.data_preprocessor', after=mmdet3d_cpu.mend_voxelize
    )
    for part in ('backbones.cylinder3d', 'decode_heads.cylinder3d_head'):
        when_imported(f'mmdet3d.models.{part}', after=mmdet3d_cpu.mend_cylinder)
    when_imported(
        'mmdet3d.evaluation.metrics.nuscenes_metric', after=mmdet3d_cpu.mend_nuscenes_boxes
    )
    when_imported(
        'mmdet3d.evaluation.functional.kitti_utils.eval', after=kitti_eval_cpu.mend_kitti_eval
    )
    when_imported('mmdet', before=_check_stack)
    when_imported('mmdet3d', before=_check_stack)
