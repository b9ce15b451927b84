"""Transforms of LiDAR scans. ``points`` is (N, C) float32: x, y, z, intensity, and maybe more."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from ...registry import TRANSFORMS
from ..io import SampleError
from ..lidar_io import read_lidar
from ..projection import nearest_depth, project_points
from .base import BaseTransform
from .points import axis_rotation


@TRANSFORMS.register_module()
class LoadLidar(BaseTransform):
    """Read the scan of a record and, on demand, earlier ones in its frame.

    Adds ``points`` (N, C) float32 with x, y, z in metres and the intensity in [0, 1].

    Args:
        use_dim: columns to keep, at least 4.
        num_sweeps: how many of the record's earlier scans to add, the latest first.
        with_time: append the age of every point in seconds, 0 for the scan itself: what detectors
            on several scans read.
        min_distance: drop points nearer to the sensor than this in the horizontal plane, in
            metres; the car itself on nuScenes.

    Raises:
        SampleError: for broken scans, see :func:`~mm3dpretrain.datasets.lidar_io.read_lidar`, or
            if no point is as far away as ``min_distance``.
        ValueError: for impossible arguments, or more columns than the files have.
    """

    def __init__(
        self,
        use_dim: int = 4,
        num_sweeps: int = 0,
        with_time: bool = False,
        min_distance: float = 0.0,
    ) -> None:
        if use_dim < 4 or num_sweeps < 0 or min_distance < 0:
            raise ValueError(
                'need use_dim >= 4, num_sweeps >= 0 and min_distance >= 0, got '
                f'{use_dim}, {num_sweeps} and {min_distance}'
            )
        self.use_dim = use_dim
        self.num_sweeps = num_sweeps
        self.with_time = with_time
        self.min_distance = min_distance

    def transform(self, results: dict) -> dict:
        scans = [self._read(results, results)]
        for sweep in results.get('sweeps', [])[: self.num_sweeps]:
            points = self._read(sweep, results)
            matrix = np.asarray(sweep['to_key'], np.float64)
            moved = points[:, :3].astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
            points[:, :3] = moved
            scans.append(points)
        results['points'] = np.concatenate(scans)
        if not len(results['points']):
            raise SampleError(
                f'{results["lidar_path"]}: no point is {self.min_distance:g} m or farther from the '
                'sensor: min_distance is too large, or the units are not metres'
            )
        return results

    def _read(self, source: dict, record: dict) -> np.ndarray:
        width = source['num_pts_feats']
        if self.use_dim > width:
            raise ValueError(
                f'LoadLidar: use_dim={self.use_dim}, {source["lidar_path"]} has {width} columns'
            )
        points = read_lidar(source['lidar_path'], width, record['intensity_scale'])
        if self.min_distance:
            points = points[np.hypot(points[:, 0], points[:, 1]) >= self.min_distance]
        points = points[:, : self.use_dim]
        if self.with_time:
            age = np.full((len(points), 1), source.get('time', 0.0), np.float32)
            points = np.concatenate([points, age], axis=1)
        return points


@TRANSFORMS.register_module()
class PointsInRange(BaseTransform):
    """Keep the points inside a box.

    Args:
        point_cloud_range: (x, y, z) of the lower and of the upper corner in metres.

    Raises:
        SampleError: if no point is left.
        ValueError: for an empty box.
    """

    def __init__(self, point_cloud_range: Sequence[float]) -> None:
        box = np.asarray(point_cloud_range, np.float32)
        if box.shape != (6,) or not (box[:3] < box[3:]).all():
            raise ValueError(f'point_cloud_range must be 3 lower, 3 upper, got {point_cloud_range}')
        self.low, self.high = box[:3], box[3:]

    def transform(self, results: dict) -> dict:
        points = results['points']
        xyz = points[:, :3]
        results['points'] = points[((xyz > self.low) & (xyz < self.high)).all(axis=1)]
        if not len(results['points']):
            raise SampleError(
                f'{results["lidar_path"]}: none of {len(points)} points is between '
                f'{self.low.tolist()} and {self.high.tolist()}'
            )
        return results


def points_in_pictures(results: dict, wanted: int) -> np.ndarray:
    """Which points of a frame some camera has in its picture, as it is now.

    Args:
        results: with ``points`` (N, >= 3), ``images``, ``lidar2img`` and ``img_shape``.
        wanted: a frame with fewer is broken.

    Returns:
        (N,) bool.

    Raises:
        SampleError: for such a frame.
    """
    points = results['points']
    inside = project_points(points, results['lidar2img'], results['img_shape'])[2].any(axis=0)
    if inside.sum() < wanted:
        raise SampleError(
            f'{results["lidar_path"]}: {int(inside.sum())} of {len(points)} points lie in the '
            f'pictures of {[image["camera"] for image in results["images"]]}, {wanted} wanted: '
            'do scan, picture and calibration belong together?'
        )
    return inside


@TRANSFORMS.register_module()
class PointsInPicture(BaseTransform):
    """Keep the points that some camera of the frame has in its picture, as it is now.

    What KITTI's ``velodyne_reduced`` holds, for sets with scans of the whole turn. Hidden points
    are kept; see :class:`LidarDepth`.

    Args:
        min_points: a frame with fewer is broken.

    Raises:
        SampleError: for a frame with fewer than ``min_points`` points in its pictures.
    """

    def __init__(self, min_points: int = 16) -> None:
        if min_points < 1:
            raise ValueError(f'min_points must be positive, got {min_points}')
        self.min_points = min_points

    def transform(self, results: dict) -> dict:
        results['points'] = results['points'][points_in_pictures(results, self.min_points)]
        return results


@TRANSFORMS.register_module()
class LidarDepth(BaseTransform):
    """Depth pictures of the scan, which tell what hides what.

    Adds ``depth`` (V, h, w) float32: in each cell of ``stride`` x ``stride`` pixels the depth of
    the nearest point, in metres along the view, 0 where there is none. A point that is much
    farther than the depth of its cell is hidden behind something. Put it behind the transforms of
    the pictures and before the points are cut and sampled: what is cut off may hide others too.

    A road seen at a flat angle changes its depth within a cell. On KITTI with 5 % tolerance 97 % of
    the points are seen in cells of 4 pixels at 384 x 1280, 86 % in cells of 8; at 128 x 416 it is
    91 % in cells of 2 and 73 % in cells of 4. So cells should be as fine as the scan is dense.

    Args:
        stride: side of a cell in pixels; a divisor of what the pictures are padded to.
    """

    def __init__(self, stride: int = 4) -> None:
        if stride < 1:
            raise ValueError(f'stride must be positive, got {stride}')
        self.stride = stride

    def transform(self, results: dict) -> dict:
        shapes = results['img_shape']
        uv, z, inside = project_points(results['points'], results['lidar2img'], shapes)
        # pictures of different size share one map; the rest of it stays empty
        height, width = (-(-max(side) // self.stride) for side in zip(*shapes))
        results['depth'] = np.stack(
            [
                nearest_depth(uv[view, seen] / self.stride, z[view, seen], (height, width))
                for view, seen in enumerate(inside)
            ]
        )
        results['depth_stride'] = self.stride
        return results


def choose_points(available: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """``wanted`` of ``available`` indices in random order; too few are filled up by repeating."""
    if available >= wanted:
        return rng.choice(available, wanted, replace=False)
    index = np.concatenate([np.arange(available), rng.choice(available, wanted - available)])
    return rng.permutation(index)


def global_generator() -> np.random.Generator:
    """A generator seeded from NumPy's global state, so that the run's seed decides."""
    return np.random.Generator(np.random.SFC64(np.random.randint(2**31)))


@TRANSFORMS.register_module()
class SampleLidar(BaseTransform):
    """Take a fixed number of points in random order; a scan with fewer is filled by repeating.

    Args:
        num_points: how many.
        fixed: the choice depends on the frame's name only, for evaluation.
    """

    def __init__(self, num_points: int, fixed: bool = False) -> None:
        if num_points < 1:
            raise ValueError(f'num_points must be positive, got {num_points}')
        self.num_points = num_points
        self.fixed = fixed

    def transform(self, results: dict) -> dict:
        if self.fixed:
            rng = np.random.default_rng(zlib.crc32(results['sample_id'].encode()))
        else:
            rng = global_generator()
        points = results['points']
        results['points'] = points[choose_points(len(points), self.num_points, rng)]
        return results


@TRANSFORMS.register_module()
class TurnLidar(BaseTransform):
    """Turn, scale and mirror a scan about its sensor; the pictures keep showing its points.

    The calibration of a drive is fixed: without this, the place of a point in the scan alone says
    a good deal about its pixel, and neither encoder needs to see what is there. The public code of
    SimIPU has no such step.

    Changes ``points`` and composes the inverse into ``lidar2img``, so that the projection of every
    point stays as it was. Put it behind :class:`LoadPictures` and the transforms of the pictures,
    and before what looks at places in the scan, such as :class:`PointsInRange`.

    Args:
        rotation: range of the angle in radians, counter-clockwise seen from above.
        scale: range of the factor.
        flip: probability of the mirror y -> -y.

    Raises:
        ValueError: for impossible arguments.
    """

    def __init__(
        self,
        rotation: tuple[float, float] = (-np.pi / 4, np.pi / 4),
        scale: tuple[float, float] = (0.95, 1.05),
        flip: float = 0.5,
    ) -> None:
        _check_ranges(rotation, scale)
        if not 0 <= flip <= 1:
            raise ValueError(f'flip must be in [0, 1], got {flip}')
        self.rotation = tuple(rotation)
        self.scale = tuple(scale)
        self.flip = flip

    def transform(self, results: dict) -> dict:
        matrix = view_transform(
            np.random.uniform(*self.rotation),
            np.random.uniform(*self.scale),
            np.zeros(3),
            np.random.random() < self.flip,
            np.zeros(3),
        )
        points = results['points'].copy()
        points[:, :3] = points[:, :3].astype(np.float64) @ matrix[:3, :3].T
        results.update(points=points, lidar2img=results['lidar2img'] @ np.linalg.inv(matrix))
        return results


@TRANSFORMS.register_module()
class TwoViewPoints(BaseTransform):
    """Two views of one scan: as it is, and rotated, scaled, shifted and mirrored.

    Makes ``points`` and ``points_aug`` (num_points, C), each in its own random order, and
    ``transform`` (4, 4) float64, ``x_aug = transform @ (x, 1)``:

        ``x_aug = F (s (R (x - c) + c) + t)``

    with R a turn about the vertical axis, c the centre, s the scale, t the shift and F the mirror
    y -> -y. These are the steps and the order of SimIPU's public code.

    Args:
        num_points: of each view; None keeps all.
        same_points: both views hold the same points (SimIPU); False draws them independently.
        rotation: range of the angle in radians, counter-clockwise seen from above.
        center: c in metres. SimIPU's (35.2, 0, -1) is the middle of KITTI's range.
        scale: range of s.
        translation_std: standard deviation of each coordinate of t in metres.
        flip: probability of the mirror, or 'image': mirrored if :class:`FlipPictures`, which must
            stand before, mirrored the pictures (SimIPU).

    Raises:
        ValueError: for impossible arguments, or ``flip='image'`` without pictures.
    """

    def __init__(
        self,
        num_points: int | None = 16384,
        same_points: bool = True,
        rotation: tuple[float, float] = (-np.pi / 2, np.pi / 2),
        center: Sequence[float] = (35.2, 0.0, -1.0),
        scale: tuple[float, float] = (0.75, 1.25),
        translation_std: float = 0.0,
        flip: float | str = 'image',
    ) -> None:
        if num_points is not None and num_points < 1:
            raise ValueError(f'num_points must be positive or None, got {num_points}')
        if num_points is None and not same_points:
            raise ValueError('same_points=False draws points: it needs num_points')
        _check_ranges(rotation, scale)
        if translation_std < 0:
            raise ValueError(f'translation_std must not be negative, got {translation_std}')
        if flip != 'image' and (isinstance(flip, str) or not 0 <= flip <= 1):
            raise ValueError(f"flip must be a probability or 'image', got {flip!r}")
        if len(center) != 3:
            raise ValueError(f'center must be (x, y, z), got {center}')
        self.num_points = num_points
        self.same_points = same_points
        self.rotation = tuple(rotation)
        self.center = np.asarray(center, np.float64)
        self.scale = tuple(scale)
        self.translation_std = translation_std
        self.flip = flip

    def transform(self, results: dict) -> dict:
        if self.flip == 'image':
            if 'img_flipped' not in results:
                raise ValueError(
                    "TwoViewPoints with flip='image' needs FlipPictures before it, or give flip a "
                    'probability'
                )
            flip = results['img_flipped']
        else:
            flip = np.random.random() < self.flip
        matrix = view_transform(
            np.random.uniform(*self.rotation),
            np.random.uniform(*self.scale),
            np.random.normal(scale=self.translation_std, size=3),
            bool(flip),
            self.center,
        )
        points, rng = results['points'], global_generator()
        number = self.num_points or len(points)
        first = points[choose_points(len(points), number, rng)]
        if self.same_points:
            second = first[rng.permutation(number)]
        else:
            second = points[choose_points(len(points), number, rng)]
        moved = second.copy()
        moved[:, :3] = second[:, :3].astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
        results.update(points=first, points_aug=moved, transform=matrix)
        return results


def _check_ranges(rotation: Sequence[float], scale: Sequence[float]) -> None:
    if not rotation[0] <= rotation[1] or not 0 < scale[0] <= scale[1]:
        raise ValueError(
            'need low <= high for rotation and 0 < low <= high for scale, got '
            f'{tuple(rotation)} and {tuple(scale)}'
        )


def view_transform(
    angle: float, scale: float, shift: Sequence[float], flip: bool, center: Sequence[float]
) -> np.ndarray:
    """The (4, 4) matrix of :class:`TwoViewPoints`.

    Args:
        angle: radians about z, counter-clockwise seen from above.
        scale: factor.
        shift: (3,) metres, after the scale.
        flip: mirror y at the end.
        center: (3,) of the turn; not of the scale, which keeps the origin.
    """
    center = np.asarray(center, np.float64)
    turn = axis_rotation('z', angle)
    matrix = np.eye(4)
    matrix[:3, :3] = scale * turn
    matrix[:3, 3] = scale * (center - turn @ center) + np.asarray(shift, np.float64)
    if flip:
        matrix[1] *= -1
    return matrix
