"""Places in mmdet3d 1.4 that ask for CUDA whatever device their tensors are on.

And one that asks for development kits whatever data set is used.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch.nn import functional as F

from .cpu_switch import cpu_ops_enabled, serves
from .optional import require
from .spconv_cpu import submanifold_like_mmcv

# Module -> package of the kits that mmdet3d's data sets and metrics import, whichever is used.
KITS = {
    'nuscenes': 'nuscenes-devkit',
    'lyft_dataset_sdk': 'lyft_dataset_sdk',
    'pyquaternion': 'pyquaternion',
}


def check_kits(module: ModuleType) -> None:
    """Say what to install where a development kit is missing.

    Args:
        module: ``mmdet3d.datasets`` or ``mmdet3d.evaluation``, not yet executed.

    Raises:
        ImportError: A kit is missing.
    """
    missing = [package for name, package in KITS.items() if not importlib.util.find_spec(name)]
    if missing:
        raise ImportError(
            f'{module.__name__} imports the nuScenes and Lyft kits together with everything else, '
            f'for KITTI and indoor data too, and {", ".join(missing)} is not installed: '
            f"pip install {' '.join(missing)} 'numpy<2'",
            name=missing[0],
        )


def mend_voxelize(module: ModuleType) -> None:
    """``Det3DDataPreprocessor`` moves the voxel map of MinkUNet-like models to CUDA.

    Args:
        module: ``mmdet3d.models.data_preprocessors.data_preprocessor``, imported.
    """
    preprocessor = module.Det3DDataPreprocessor
    original = preprocessor.voxelize
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def voxelize(self, points, data_samples):
        if self.voxel_type == 'minkunet' and serves(*points):
            return _quantize(self, points, data_samples)
        return original(self, points, data_samples)

    voxelize.mended = True
    preprocessor.voxelize = voxelize


def _quantize(self, points: list[torch.Tensor], data_samples: list) -> dict[str, torch.Tensor]:
    """One point for each voxel of a sparse grid, as ``voxel_type='minkunet'`` asks for.

    Args:
        self: The preprocessor: ``voxel_layer.voxel_size``, ``max_voxels``, ``batch_first``.
        points: (N, C) for each sample, metres.
        data_samples: Get ``batch_idx``, ``point2voxel_map`` and voxel-wise labels.

    Returns:
        ``voxels`` (V, C) and ``coors`` (V, 4) int32 with the batch index first or last.
    """
    voxels, coors = [], []
    for i, (cloud, sample) in enumerate(zip(points, data_samples)):
        grid = torch.round(cloud[:, :3] / cloud.new_tensor(self.voxel_layer.voxel_size)).int()
        grid -= grid.min(0)[0]
        chosen, voxel_of = self.sparse_quantize(
            grid.numpy(), return_index=True, return_inverse=True
        )
        if self.training and self.max_voxels is not None and len(chosen) > self.max_voxels:
            chosen = np.random.choice(chosen, self.max_voxels, replace=False)
        chosen = torch.from_numpy(chosen)
        if hasattr(sample.gt_pts_seg, 'pts_semantic_mask'):
            labels = sample.gt_pts_seg.pts_semantic_mask
            sample.gt_pts_seg.voxel_semantic_mask = labels[chosen]
        column = 0 if self.batch_first else -1
        places = F.pad(grid[chosen], (1, 0) if self.batch_first else (0, 1), value=i)
        sample.batch_idx = places[:, column]
        sample.point2voxel_map = torch.from_numpy(voxel_of).long()
        voxels.append(cloud[chosen])
        coors.append(places)
    return dict(voxels=torch.cat(voxels), coors=torch.cat(coors))


def mend_nuscenes_boxes(module: ModuleType) -> None:
    """The nuScenes metric moves the boxes of camera detectors to CUDA for suppression.

    Args:
        module: ``mmdet3d.evaluation.metrics.nuscenes_metric``, imported.
    """
    original = module.nusc_box_to_cam_box3d
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def nusc_box_to_cam_box3d(boxes):
        if not cpu_ops_enabled():
            return original(boxes)
        # nuScenes sizes are width, length, height; a camera box has length, height, width.
        rows = [
            [*b.center, b.wlh[1], b.wlh[2], b.wlh[0], -b.orientation.yaw_pitch_roll[0]]
            + [b.velocity[0], b.velocity[2]]
            for b in boxes
        ]
        table = torch.tensor(np.asarray(rows, np.float32).reshape(-1, 9))
        scores = torch.zeros(len(boxes), 11)
        labels = torch.tensor([b.label for b in boxes], dtype=torch.long)
        scores[torch.arange(len(boxes)), labels] = torch.tensor([float(b.score) for b in boxes])
        solid = module.CameraInstance3DBoxes(table, box_dim=9, origin=(0.5, 0.5, 0.5))
        return solid, scores, labels

    nusc_box_to_cam_box3d.mended = True
    module.nusc_box_to_cam_box3d = nusc_box_to_cam_box3d


SPARSE_CLASSES = ('SparseConv3d', 'SparseConvTensor', 'SparseInverseConv3d', 'SubMConv3d')


def mend_cylinder(module: ModuleType) -> None:
    """Cylinder3D takes mmcv's sparse convolutions, which have no CPU version; spconv's have one.

    Args:
        module: ``mmdet3d.models.backbones.cylinder3d`` or
            ``mmdet3d.models.decode_heads.cylinder3d_head``, imported.
    """
    for name in SPARSE_CLASSES:
        original = getattr(module, name, None)
        if original is not None and not getattr(original, 'mended', False):
            setattr(module, name, _spconv_class(name, original))


def _spconv_class(name: str, original: type) -> Callable:
    """What stands for a class of mmcv where objects of it are made."""

    def build(*args, **kwargs):
        if not cpu_ops_enabled():
            return original(*args, **kwargs)
        spconv = require('spconv.pytorch', extra='sparse', why='Cylinder3D without CUDA')
        if name == 'SubMConv3d':
            return submanifold_like_mmcv()(*args, **kwargs)
        return getattr(spconv, name)(*args, **kwargs)

    build.mended = True
    return build
