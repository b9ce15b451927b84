"""Transforms of point clouds. All keep ``points`` (N, C) float32 and the order of its columns."""

from __future__ import annotations

import numpy as np
import torch

from ...registry import TRANSFORMS
from .base import BaseTransform, apply_affine

_AXES = {'x': 0, 'y': 1, 'z': 2}


@TRANSFORMS.register_module()
class SamplePoints(BaseTransform):
    """Take ``num_points`` of the cloud; ``gt_part`` follows.

    Args:
        num_points: how many.
        method: 'random' without repetition (Point-BERT's way in pre-training); 'fps' furthest
            point sampling from the first point; 'first' the first ones in the file, as CrossPoint
            reads ModelNet40 for its SVM.
        pre_fps: furthest point sampling to this number before the random draw (Point-BERT
            fine-tunes with 1200, then 1024 at random); 0 for none.
        allow_repeat: a cloud with fewer points is filled up by repeating random ones; otherwise
            it is an error.

    Raises:
        ValueError: for a cloud with fewer points, or wrong arguments.
    """

    def __init__(
        self,
        num_points: int,
        method: str = 'random',
        pre_fps: int = 0,
        allow_repeat: bool = False,
    ) -> None:
        if num_points < 1:
            raise ValueError(f'num_points must be positive, got {num_points}')
        if method not in ('random', 'fps', 'first'):
            raise ValueError(f"method must be 'random', 'fps' or 'first', got {method!r}")
        if pre_fps and (method != 'random' or pre_fps < num_points):
            raise ValueError(
                f"pre_fps={pre_fps} needs method='random' and at least num_points={num_points}"
            )
        self.num_points = num_points
        self.method = method
        self.pre_fps = pre_fps
        self.allow_repeat = allow_repeat

    def transform(self, results: dict) -> dict:
        index = self._choose(results['points'])
        results['points'] = results['points'][index]
        if 'gt_part' in results:
            results['gt_part'] = results['gt_part'][index]
        return results

    def _choose(self, points: np.ndarray) -> np.ndarray:
        available, wanted = len(points), self.num_points
        if available < wanted:
            if not self.allow_repeat:
                raise ValueError(
                    f'{wanted} points wanted, the cloud has {available}: lower num_points or set '
                    'allow_repeat=True in SamplePoints'
                )
            extra = np.random.choice(available, wanted - available)
            return np.concatenate([np.arange(available), extra])
        if self.method == 'first':
            return np.arange(wanted)
        if self.method == 'fps':
            return _fps(points, wanted)
        # a generator of the new kind draws few of many without shuffling all of them; it is
        # seeded from the global state, so that the run's seed still decides
        rng = np.random.Generator(np.random.SFC64(np.random.randint(2**31)))
        if self.pre_fps and self.pre_fps < available:
            return rng.choice(_fps(points, self.pre_fps), wanted, replace=False)
        return rng.choice(available, wanted, replace=False)


def _fps(points: np.ndarray, num: int) -> np.ndarray:
    from ...ops import furthest_point_sample

    xyz = torch.from_numpy(np.ascontiguousarray(points[:, :3]))[None]
    return furthest_point_sample(xyz, num)[0].numpy()


@TRANSFORMS.register_module()
class NormalizePoints(BaseTransform):
    """Centre the cloud and scale it into the unit sphere, as Point-BERT's loaders do.

    Args:
        center: 'mean' of the points, 'bbox' centre of the axis-aligned box, or 'none'.
        scale: divide by the largest radius after centring.

    Raises:
        ValueError: if all points coincide, so that there is no scale; or a wrong ``center``.
    """

    def __init__(self, center: str = 'mean', scale: bool = True) -> None:
        if center not in ('mean', 'bbox', 'none'):
            raise ValueError(f"center must be 'mean', 'bbox' or 'none', got {center!r}")
        self.center = center
        self.scale = scale

    def transform(self, results: dict) -> dict:
        xyz = results['points'][:, :3].astype(np.float64)
        middle = np.zeros(3)
        if self.center == 'mean':
            middle = xyz.mean(axis=0)
        elif self.center == 'bbox':
            middle = (xyz.min(axis=0) + xyz.max(axis=0)) / 2
        radius = 1.0
        if self.scale:
            radius = float(np.sqrt(((xyz - middle) ** 2).sum(axis=1).max()))
            # rounding of the file's float32 leaves a little radius at coincident points
            if radius <= 1e-6 * (1e-6 + float(np.abs(xyz).max())):
                raise ValueError(f'all {len(xyz)} points coincide at {middle.tolist()}: no scale')
        results = apply_affine(results, np.eye(3) / radius, -middle / radius)
        if self.scale and self.center != 'none':
            results['normalization'] = 'unit_sphere'
        return results


@TRANSFORMS.register_module()
class RandomScaleShift(BaseTransform):
    """Scale every axis by its own factor, then shift (Point-BERT's augmentation).

    Args:
        scale: range of the uniform factor of each axis.
        shift: largest shift along each axis, in the unit of the points.

    Raises:
        ValueError: for an empty or non-positive range.
    """

    def __init__(self, scale: tuple[float, float] = (2 / 3, 3 / 2), shift: float = 0.2) -> None:
        if not 0 < scale[0] <= scale[1] or shift < 0:
            raise ValueError(f'need 0 < low <= high and shift >= 0, got {scale}, {shift}')
        self.scale = tuple(scale)
        self.shift = shift

    def transform(self, results: dict) -> dict:
        factor = np.random.uniform(*self.scale, size=3)
        offset = np.random.uniform(-self.shift, self.shift, size=3)
        return apply_affine(results, np.diag(factor), offset)


@TRANSFORMS.register_module()
class RandomRotate(BaseTransform):
    """Rotate about an axis by a uniform angle, or by a uniform rotation of SO(3).

    Args:
        axis: 'x', 'y', 'z'; 'gravity' for the record's ``gravity_axis``; 'so3' for any rotation
            (for sets without a common orientation).
        max_angle: largest angle in degrees, either way; not used with 'so3'.

    Raises:
        ValueError: for an unknown axis, or 'gravity' where the record names none.
    """

    def __init__(self, axis: str = 'gravity', max_angle: float = 180.0) -> None:
        if axis not in (*_AXES, 'gravity', 'so3'):
            raise ValueError(f"axis must be 'x', 'y', 'z', 'gravity' or 'so3', got {axis!r}")
        if not 0 < max_angle <= 180:
            raise ValueError(f'max_angle must be in (0, 180] degrees, got {max_angle}')
        self.axis = axis
        self.max_angle = max_angle

    def transform(self, results: dict) -> dict:
        if self.axis == 'so3':
            rotation = random_rotation()
            results['gravity_axis'] = 'none'
        else:
            axis = results.get('gravity_axis') if self.axis == 'gravity' else self.axis
            if axis not in _AXES:
                raise ValueError(
                    f'RandomRotate about gravity, but the gravity axis is {axis!r}: name an axis, '
                    "or 'so3'"
                )
            angle = np.radians(np.random.uniform(-self.max_angle, self.max_angle))
            rotation = axis_rotation(axis, angle)
            if axis != results.get('gravity_axis'):
                results['gravity_axis'] = 'none'
        return apply_affine(results, rotation, np.zeros(3))


def axis_rotation(axis: str, angle: float) -> np.ndarray:
    """Rotation matrix (3, 3) by ``angle`` in radians, counter-clockwise seen from +axis."""
    i = _AXES[axis]
    j, k = (i + 1) % 3, (i + 2) % 3
    rotation = np.eye(3)
    rotation[j, j] = rotation[k, k] = np.cos(angle)
    rotation[j, k], rotation[k, j] = -np.sin(angle), np.sin(angle)
    return rotation


def random_rotation() -> np.ndarray:
    """Uniform rotation matrix (3, 3): a normal random quaternion, scaled to length 1."""
    w, x, y, z = (q := np.random.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@TRANSFORMS.register_module()
class JitterPoints(BaseTransform):
    """Add independent normal noise to the coordinates, cut off at ``clip``.

    Args:
        sigma: standard deviation, in the unit of the points.
        clip: largest change of a coordinate.

    Raises:
        ValueError: for negative values.
    """

    def __init__(self, sigma: float = 0.01, clip: float = 0.05) -> None:
        if sigma < 0 or clip < 0:
            raise ValueError(f'sigma and clip must not be negative, got {sigma} and {clip}')
        self.sigma = sigma
        self.clip = clip

    def transform(self, results: dict) -> dict:
        points = results['points'].copy()
        noise = np.random.normal(scale=self.sigma, size=(len(points), 3))
        points[:, :3] += np.clip(noise, -self.clip, self.clip).astype(np.float32)
        results['points'] = points
        return results
