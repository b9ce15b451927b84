"""Transforms of point cloud completion: partial clouds with their complete ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...registry import TRANSFORMS
from ..io import SampleError, check_cloud
from ..mesh_io import read_cloud, stable_seed
from ..pcd_io import read_pcd
from .base import XYZ, BaseTransform, apply_affine

# order of the corners in PoinTr's test
CORNERS = np.array(
    [[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1],
     [-1, -1, -1]], np.float32,
)  # fmt: skip


@TRANSFORMS.register_module()
class RemoveNearest(BaseTransform):
    """Make a partial cloud: remove the points nearest to a viewpoint (PoinTr, ShapeNet-55).

    ``gt_points`` (N, 3) becomes the whole cloud, ``points`` what remains, in its order. Put
    transforms that move points before it or after it as you like: both clouds move together.
    Put ``SamplePoints(method='fps')`` after it, so that all partial clouds have one size.

    Args:
        ratio: removed share, or the range it is drawn from. A record's ``crop_ratio`` goes before
            it.
        viewpoint: 'random' direction on the unit sphere; 'corner' one of the eight corners
            (+-1, +-1, +-1), the record's ``viewpoint_index``, or one that depends on the
            ``sample_id`` alone, so that a test repeats.

    Raises:
        ValueError: for a share outside (0, 1), another viewpoint, or a cloud that is too small to
            lose a point and keep one.
    """

    def __init__(
        self, ratio: float | Sequence[float] = (0.25, 0.75), viewpoint: str = 'random'
    ) -> None:
        low, high = (ratio, ratio) if isinstance(ratio, (int, float)) else tuple(ratio)
        if not 0 < low <= high < 1:
            raise ValueError(f'ratio must be in (0, 1), low to high, got {ratio}')
        if viewpoint not in ('random', 'corner'):
            raise ValueError(f"viewpoint must be 'random' or 'corner', got {viewpoint!r}")
        self.ratio = (low, high)
        self.viewpoint = viewpoint

    def transform(self, results: dict) -> dict:
        points = results['points']
        ratio = results.get('crop_ratio')
        if ratio is None:
            ratio = np.random.uniform(*self.ratio)
        remove = int(len(points) * ratio)
        if not 0 < remove < len(points):
            raise ValueError(f'cannot remove {ratio:.2f} of {len(points)} points')
        distance = ((points[:, :3] - self._eye(results)) ** 2).sum(axis=1)
        kept = np.sort(np.argsort(distance, kind='stable')[remove:])
        results['gt_points'] = points[:, :3].copy()
        results['points'] = points[kept]
        if 'gt_part' in results:
            results['gt_part'] = results['gt_part'][kept]
        return results

    def _eye(self, results: dict) -> np.ndarray:
        if self.viewpoint == 'random':
            direction = np.random.normal(size=3)
            return (direction / np.linalg.norm(direction)).astype(np.float32)
        index = results.get('viewpoint_index')
        if index is None:
            index = stable_seed(str(results.get('sample_id', ''))) % len(CORNERS)
        return CORNERS[index]


@TRANSFORMS.register_module()
class LoadCompletionPair(BaseTransform):
    """Read a partial cloud and its complete one.

    The record has ``partial_dir``, a folder of partial clouds, and ``points_path``, the complete
    one. Adds ``points`` (N, 3), ``point_channels`` and ``gt_points`` (M, 3), all float32.

    Args:
        which: 'random' draws one of the partial clouds at every access, 'first' takes the first.

    Raises:
        SampleError: for a missing or broken file, or an empty folder.
        ValueError: for another ``which``.
    """

    def __init__(self, which: str = 'random') -> None:
        if which not in ('random', 'first'):
            raise ValueError(f"which must be 'random' or 'first', got {which!r}")
        self.which = which

    def transform(self, results: dict) -> dict:
        folder = Path(results['partial_dir'])
        try:
            names = sorted(name for name in os.listdir(folder) if not name.startswith('.'))
        except OSError as error:
            raise SampleError(f'{folder}: no partial clouds ({error})') from error
        if not names:
            raise SampleError(f'{folder}: no partial clouds, the folder is empty')
        name = names[np.random.randint(len(names))] if self.which == 'random' else names[0]
        results['points'] = _read(folder / name)
        results['point_channels'] = XYZ
        results['gt_points'] = _read(Path(results['points_path']))
        return results


def _read(path: Path) -> np.ndarray:
    """(N, 3) float32 of a cloud file."""
    points = read_pcd(path) if path.suffix.lower() == '.pcd' else read_cloud(path)['points']
    return check_cloud(points, str(path))[:, :3].copy()


@TRANSFORMS.register_module()
class RandomMirror(BaseTransform):
    """Mirror the cloud, and its complete one, along each of the axes with probability one half.

    With ('x', 'z') this is the augmentation of GRNet and PoinTr on PCN: shapes stay upright.

    Args:
        axes: of 'x', 'y', 'z'.

    Raises:
        ValueError: for another axis, or none.
    """

    def __init__(self, axes: Sequence[str] = ('x', 'z')) -> None:
        if not axes or set(axes) - set(XYZ):
            raise ValueError(f"axes must be some of 'x', 'y', 'z', got {axes}")
        self.axes = tuple(axes)

    def transform(self, results: dict) -> dict:
        sign = np.ones(3)
        for axis in self.axes:
            sign['xyz'.index(axis)] = np.random.choice([-1.0, 1.0])
        return apply_affine(results, np.diag(sign), np.zeros(3))
