"""Transforms of the views of RGB-D scans.

``img`` is (V, H, W, 3) uint8 RGB, ``depth`` (V, H, W) float32 along z with 0 where nothing was
measured, both of one grid; ``intrinsics`` (V, 3, 3) and ``extrinsics`` (V, 4, 4) world-to-camera
are float64. ``points`` (N, 6) has x, y, z, r, g, b, colours in [0, 1]. Every transform that moves
pixels or points changes the matrices with them, so that projecting the points stays exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...registry import TRANSFORMS
from ..frame_grids import read_view
from ..frame_matching import View, sample_matches
from ..io import SampleError
from ..scene_cloud import CHANNELS, fuse_views, read_scene_cloud
from .base import BaseTransform, apply_affine
from .images import ResizeView
from .packing import start_sample
from .points import axis_rotation

META_KEYS = ('sample_id', 'scene', 'gravity_axis', 'point_transform', 'view_scale')


def loaded_views(results: dict) -> list[View]:
    """Depth and cameras of the views, without copies."""
    return [View(*v) for v in zip(*(results[k] for k in ('depth', 'intrinsics', 'extrinsics')))]


@TRANSFORMS.register_module()
class LoadFrames(BaseTransform):
    """Read colour and depth of the views of a record, and bring both to one grid.

    Where a frame has ``depth_cam2img``, colour and depth come from two cameras with one centre; a
    pixel of the one is a fixed place in the other's picture, whatever the depth.

    Adds ``img``, ``depth``, ``intrinsics``, ``extrinsics`` (see the module), ``frame_ids`` and
    ``img_paths``.

    Args:
        grid: 'depth' samples colour at the pixels of the depth picture (averaged where it shrinks,
            then bilinear; black outside); 'color' takes, for each pixel of the colour picture, the
            depth of the nearest pixel.

    Raises:
        SampleError: for broken files, depth in another unit, or views of different size.
        ValueError: for another grid.
    """

    def __init__(self, grid: str = 'depth') -> None:
        if grid not in ('depth', 'color'):
            raise ValueError(f"grid must be 'depth' or 'color', got {grid!r}")
        self.grid = grid

    def transform(self, results: dict) -> dict:
        frames = results['frames']
        views = [read_view(frame, results['depth_range'], self.grid) for frame in frames]
        sizes = sorted({view[1].shape for view in views})
        if len(sizes) > 1:
            raise SampleError(f'{results["sample_id"]}: views of different sizes {sizes}')
        for key, arrays in zip(('img', 'depth', 'intrinsics'), zip(*views)):
            results[key] = np.stack(arrays)
        results['extrinsics'] = np.linalg.inv(np.stack([f['cam2world'] for f in frames]))
        results['frame_ids'] = [frame['frame_id'] for frame in frames]
        results['img_paths'] = [frame['img_path'] for frame in frames]
        return results


@TRANSFORMS.register_module()
class ResizeFrames(BaseTransform):
    """Resize pictures and depth of all views, with their intrinsics.

    Pictures as in :class:`~mm3dpretrain.datasets.transforms.images.ResizeView`; a pixel of the
    depth takes the value at its centre, nothing is interpolated.

    Args:
        size: (H, W) of the result.
        keep_ratio: scale both sides alike, to the largest picture that fits, and fill up with
            black and with depth 0 at the right and the bottom.
        divisor: fill up further to multiples of this number, for example 14 for DINOv2.

    Raises:
        ValueError: for a size or divisor that is not positive.
    """

    def __init__(self, size: Sequence[int], keep_ratio: bool = False, divisor: int = 1) -> None:
        if len(size) != 2 or min(size) < 1 or divisor < 1:
            raise ValueError(f'size and divisor must be positive, got {size} and {divisor}')
        self.size = tuple(int(side) for side in size)
        self.keep_ratio = keep_ratio
        self.divisor = divisor

    def transform(self, results: dict) -> dict:
        old = results['depth'].shape[1:]
        new = self.size
        if self.keep_ratio:
            factor = min(self.size[0] / old[0], self.size[1] / old[1])
            new = tuple(max(1, int(side * factor + 0.5)) for side in old)
        picture = ResizeView(new)(dict(img=results['img']))['img']
        row, column = (((np.arange(n) + 0.5) * o / n).astype(np.int64) for n, o in zip(new, old))
        depth = results['depth'][:, row[:, None], column]
        # a pixel is a square from (j, i) to (j + 1, i + 1): positions scale, nothing shifts
        scale = np.diag([new[1] / old[1], new[0] / old[0], 1.0])
        results['intrinsics'] = scale @ results['intrinsics']
        full = [-(-side // self.divisor) * self.divisor for side in self.size]
        fill = [(0, 0), *((0, f - n) for f, n in zip(full, new))]
        results['img'] = np.pad(picture, [*fill, (0, 0)])
        results['depth'] = np.pad(depth, fill)
        results['view_scale'] = (new[0] / old[0], new[1] / old[1])
        return results


@TRANSFORMS.register_module()
class LoadSceneCloud(BaseTransform):
    """The cloud of a record's scan: from its file, or fused from the loaded views.

    Adds ``points`` (N, 6) float32 and ``point_channels``. Put it behind
    :class:`ResizeFrames`: then the fused points are the centres of the pixels.

    Args:
        voxel_size: fused clouds keep one point in every cube of this side; 0 keeps all.
        mesh_points: drawn from a mesh.
        cache_dir: where those are kept; None draws every time.

    Raises:
        SampleError: for a broken file, or views without any depth.
    """

    def __init__(
        self,
        voxel_size: float = 0.02,
        mesh_points: int = 100_000,
        cache_dir: str | None = 'data/cache/rgbd_frames/clouds',
    ) -> None:
        if voxel_size < 0 or mesh_points < 1:
            raise ValueError(
                f'voxel_size must not be negative and mesh_points positive, got {voxel_size}, '
                f'{mesh_points}'
            )
        self.voxel_size = voxel_size
        self.mesh_points = mesh_points
        self.cache_dir = cache_dir

    def transform(self, results: dict) -> dict:
        path = results['cloud_path']
        if path is None:
            points = fuse_views(results['img'], loaded_views(results), self.voxel_size)
        else:
            points = read_scene_cloud(path, self.mesh_points, self.cache_dir)
            align = results['cloud_align']
            points[:, :3] = points[:, :3] @ align[:3, :3].T + align[:3, 3]
        if not len(points):
            raise SampleError(f'{results["sample_id"]}: the views have no depth: an empty cloud')
        results['points'], results['point_channels'] = points, CHANNELS
        return results


@TRANSFORMS.register_module()
class RotateScaleScene(BaseTransform):
    """Turn the cloud about gravity and scale it; the cameras follow.

    A point that was at x is at ``s R x``. The inverse is composed into the extrinsics, and depth is
    scaled by s, so that every point keeps its pixel and the depth test holds:
    ``extrinsics' = diag(s, s, s, 1) extrinsics (s R)^-1`` is again a rigid motion.

    Args:
        max_angle: largest angle in degrees, either way.
        scale: range of the factor s.

    Raises:
        ValueError: for ranges that are empty or not positive.
    """

    def __init__(self, max_angle: float = 180.0, scale: tuple[float, float] = (0.9, 1.1)) -> None:
        if not 0 <= max_angle <= 180 or not 0 < scale[0] <= scale[1]:
            raise ValueError(
                f'need max_angle in [0, 180] and 0 < low <= high, got {max_angle}, {scale}'
            )
        self.max_angle = max_angle
        self.scale = tuple(scale)

    def transform(self, results: dict) -> dict:
        angle = np.radians(np.random.uniform(-self.max_angle, self.max_angle))
        factor = np.random.uniform(*self.scale)
        rotation = axis_rotation('z', angle)
        results = apply_affine(results, factor * rotation, np.zeros(3))
        extrinsics = results['extrinsics'].copy()
        extrinsics[:, :3, :3] = extrinsics[:, :3, :3] @ rotation.T
        extrinsics[:, :3, 3] *= factor
        results['extrinsics'] = extrinsics
        results['depth'] = results['depth'] * np.float32(factor)
        return results


@TRANSFORMS.register_module()
class DropDepth(BaseTransform):
    """Rectangles of the views lose their depth, as where a sensor fails. Nothing moves.

    Args:
        num: rectangles of a view.
        max_size: largest side, as a share of the side of the picture.

    Raises:
        ValueError: for impossible numbers.
    """

    def __init__(self, num: int = 4, max_size: float = 0.25) -> None:
        if num < 1 or not 0 < max_size <= 1:
            raise ValueError(f'need num >= 1 and max_size in (0, 1], got {num}, {max_size}')
        self.num = num
        self.max_size = max_size

    def transform(self, results: dict) -> dict:
        depth = results['depth'].copy()
        height, width = depth.shape[1:]
        for view in depth:
            for _ in range(self.num):
                h, w = (np.random.uniform(0, self.max_size, 2) * (height, width)).astype(int)
                top, left = (
                    np.random.randint(0, height - h + 1),
                    np.random.randint(0, width - w + 1),
                )
                view[top : top + h, left : left + w] = 0
        results['depth'] = depth
        return results


@TRANSFORMS.register_module()
class SampleCorrespondences(BaseTransform):
    """Pixels with a known point, and where the partner view shows the same point.

    Adds ``queries`` and ``targets`` (V, Q, 2) and ``query_valid`` (V, Q). Row q of view v and row q
    of its partner v ^ 1 are the same point: ``targets[v] == queries[v ^ 1]``. Half of the points
    are pixel centres of the one view, half of the other. All pass the depth test in both views and
    the way back within ``max_error``, see
    :func:`~mm3dpretrain.datasets.frame_matching.match_pixels`.

    Args:
        num: Q.
        depth_tol: largest difference of depths of one surface, in the unit of the depth.
        max_error: pixels.
        min_valid: a pair with fewer valid points is a broken sample.

    Raises:
        SampleError: for such a pair.
        ValueError: for arguments that are not positive.
    """

    def __init__(
        self, num: int = 256, depth_tol: float = 0.05, max_error: float = 1.0, min_valid: int = 1
    ) -> None:
        if num < 1 or min(depth_tol, max_error) <= 0 or min_valid < 0:
            raise ValueError(
                'num, depth_tol and max_error must be positive, min_valid not negative, got '
                f'{num}, {depth_tol}, {max_error}, {min_valid}'
            )
        self.num = num
        self.depth_tol = depth_tol
        self.max_error = max_error
        self.min_valid = min_valid

    def transform(self, results: dict) -> dict:
        views = loaded_views(results)
        # seeded from the global state, so that the run's seed decides
        rng = np.random.Generator(np.random.SFC64(np.random.randint(2**31)))
        places, valid = [], []
        for first, second in zip(views[::2], views[1::2]):
            *both, seen = sample_matches(
                first, second, self.num, self.depth_tol, self.max_error, rng
            )
            if seen.sum() < self.min_valid:
                raise SampleError(
                    f'{results["sample_id"]}: {int(seen.sum())} pixels are seen by both views of a '
                    f'pair, {self.min_valid} wanted'
                )
            places += both
            valid += [seen, seen]
        results['queries'] = np.stack(places)
        results['targets'] = np.stack([places[view ^ 1] for view in range(len(places))])
        results['query_valid'] = np.stack(valid)
        return results


@TRANSFORMS.register_module()
class PackFrames(BaseTransform):
    """Make tensors and a :class:`~mm3dpretrain.structures.PretrainDataSample`.

    Returns ``dict(inputs, data_samples)``; ``inputs`` has ``points`` (N, 6), ``depth`` (V, H, W),
    ``intrinsics`` (V, 3, 3) and ``extrinsics`` (V, 4, 4) float32, ``img`` (V, 3, H, W) uint8 and,
    after :class:`SampleCorrespondences`, ``queries`` and ``targets`` (V, Q, 2) float32 and
    ``query_valid`` (V, Q) bool. Meta information: ``sample_id``, ``scene``, ``frame_ids``,
    ``img_paths``, ``gravity_axis``, ``point_transform``, ``view_scale``.

    Raises:
        ValueError: if views or cloud are not loaded.
    """

    def transform(self, results: dict) -> dict:
        if 'points' not in results or 'img' not in results:
            raise ValueError('PackFrames: put LoadFrames and LoadSceneCloud before it')
        arrays = dict(img=results['img'].transpose(0, 3, 1, 2))
        for key in ('points', 'depth', 'intrinsics', 'extrinsics', 'queries', 'targets'):
            if key in results:
                arrays[key] = results[key].astype(np.float32)
        if 'query_valid' in results:
            arrays['query_valid'] = results['query_valid']
        sample = start_sample(results, (*META_KEYS, 'frame_ids', 'img_paths'))
        inputs = {key: torch.from_numpy(np.ascontiguousarray(a)) for key, a in arrays.items()}
        return dict(inputs=inputs, data_samples=sample)
