"""Augmentation of coloured shapes as OpenShape does it."""

from __future__ import annotations

import numpy as np

from ...registry import TRANSFORMS
from .base import RGB, XYZ, BaseTransform, apply_affine, channel_slice
from .points import axis_rotation


@TRANSFORMS.register_module()
class FillColors(BaseTransform):
    """Give every cloud colours: grey where it has none, or where they are dropped at random.

    The columns r, g, b stand behind x, y, z afterwards. A network that has met grey clouds in
    training (OpenShape drops half of the colours) works on those without colour.

    Args:
        drop_prob: probability to replace the colours of a cloud, in [0, 1].
        grey: all three channels of the replacement, in [0, 1].

    Raises:
        ValueError: for values outside [0, 1], or colours that do not follow the coordinates.
    """

    def __init__(self, drop_prob: float = 0.0, grey: float = 0.4) -> None:
        if not (0 <= drop_prob <= 1 and 0 <= grey <= 1):
            raise ValueError(f'drop_prob and grey must be in [0, 1], got {drop_prob} and {grey}')
        self.drop_prob = drop_prob
        self.grey = grey

    def transform(self, results: dict) -> dict:
        points = results['points']
        names = tuple(results['point_channels'])
        # drawn for every cloud, so that the others' randomness does not depend on its colours
        drop = np.random.uniform() < self.drop_prob
        place = channel_slice(results, RGB)
        if place is None:
            grey = np.full((len(points), 3), self.grey, points.dtype)
            results['points'] = np.concatenate([points[:, :3], grey, points[:, 3:]], axis=1)
            results['point_channels'] = XYZ + RGB + names[3:]
        elif place.start != 3:
            raise ValueError(f"FillColors: 'r', 'g', 'b' must follow the coordinates, got {names}")
        elif drop:
            results['points'] = points.copy()
            results['points'][:, place] = self.grey
        return results


@TRANSFORMS.register_module()
class DropPoints(BaseTransform):
    """Replace a random share of the points by the first one (PointNet++'s random input dropout).

    Args:
        max_ratio: largest share, in [0, 1); each cloud draws its own from [0, max_ratio).

    Raises:
        ValueError: for another range, or points with part labels, which would no longer fit.
    """

    def __init__(self, max_ratio: float = 0.875) -> None:
        if not 0 <= max_ratio < 1:
            raise ValueError(f'max_ratio must be in [0, 1), got {max_ratio}')
        self.max_ratio = max_ratio

    def transform(self, results: dict) -> dict:
        if 'gt_part' in results:
            raise ValueError('DropPoints does not keep part labels: leave it out')
        points = results['points'].copy()
        gone = np.random.uniform(size=len(points)) < np.random.uniform() * self.max_ratio
        points[gone] = points[0]
        results['points'] = points
        return results


@TRANSFORMS.register_module()
class TiltPoints(BaseTransform):
    """Rotate a little about all three axes.

    Args:
        sigma: standard deviation of the three angles in radians.
        clip: largest angle in radians.

    Raises:
        ValueError: for negative values.
    """

    def __init__(self, sigma: float = 0.06, clip: float = 0.18) -> None:
        if sigma < 0 or clip < 0:
            raise ValueError(f'sigma and clip must not be negative, got {sigma} and {clip}')
        self.sigma = sigma
        self.clip = clip

    def transform(self, results: dict) -> dict:
        angles = np.clip(np.random.normal(scale=self.sigma, size=3), -self.clip, self.clip)
        x, y, z = (axis_rotation(axis, angle) for axis, angle in zip('xyz', angles))
        return apply_affine(results, z @ y @ x, np.zeros(3))
