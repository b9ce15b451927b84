"""Transforms for pipelines of mmdet3d, whose ``points`` are ``BasePoints``."""

from __future__ import annotations

from ...registry import TRANSFORMS
from .base import BaseTransform


@TRANSFORMS.register_module()
class ScaleIntensity(BaseTransform):
    """Multiply the fourth column of the points, the intensity, by a factor.

    The files of nuScenes have intensities in [0, 255], those of KITTI in [0, 1]. The pre-training
    here reads all of them in [0, 1]; mmdet3d reads them as they are. An encoder shall see after the
    transfer what it saw before.

    Args:
        factor: 1 / 255 for nuScenes.

    Raises:
        ValueError: for a factor that is not positive, or points without a fourth column.
    """

    def __init__(self, factor: float) -> None:
        if not factor > 0:
            raise ValueError(f'ScaleIntensity: factor must be positive, got {factor}')
        self.factor = factor

    def transform(self, results: dict) -> dict:
        points = results['points'].clone()
        if points.tensor.shape[1] < 4:
            raise ValueError(
                f'ScaleIntensity needs x, y, z, intensity, got {points.tensor.shape[1]} columns: '
                'use_dim >= 4 in LoadPointsFromFile'
            )
        points.tensor[:, 3] *= self.factor
        results['points'] = points
        return results
