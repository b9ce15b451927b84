"""The common parent of transforms, and helpers for their arguments and the columns of a cloud."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

XYZ = ('x', 'y', 'z')
RGB = ('r', 'g', 'b')
NORMAL = ('nx', 'ny', 'nz')


class BaseTransform(ABC):
    """A callable that takes the dict of one sample and returns it changed.

    Randomness comes from numpy's global generator, which MMEngine seeds in every worker process
    from the seed of the run: the same seed gives the same samples.
    """

    @abstractmethod
    def transform(self, results: dict) -> dict:
        """Change and return ``results``."""

    def __call__(self, results: dict) -> dict:
        return self.transform(results)


def check_probability(prob: float) -> float:
    """``prob``, or a ValueError if it is not in [0, 1]."""
    if not 0 <= prob <= 1:
        raise ValueError(f'prob must be in [0, 1], got {prob}')
    return prob


def channel_slice(results: dict, channels: tuple[str, ...]) -> slice | None:
    """Where the columns ``channels`` stand in ``results['points']``, None if they are not there."""
    names = tuple(results['point_channels'])
    if channels[0] not in names:
        return None
    start = names.index(channels[0])
    return slice(start, start + len(channels))


def apply_affine(results: dict, linear: np.ndarray, offset: np.ndarray) -> dict:
    """Move the points by ``x -> linear x + offset`` and keep account of it.

    Normals are turned with the inverse transpose and keep unit length. ``gt_points`` (M, 3), the
    complete cloud of a partial one, moves along. The product of all such steps is
    ``results['point_transform']`` (4, 4), from the stored frame to the current one: with it, the
    stored cameras can still be used on the changed points.

    Args:
        results: with ``points`` (N, C) and ``point_channels``.
        linear: (3, 3).
        offset: (3,).
    """
    points = results['points'].copy()
    linear = np.asarray(linear, np.float64)
    offset = np.asarray(offset, np.float64)
    points[:, :3] = points[:, :3] @ linear.T.astype(np.float32) + offset.astype(np.float32)
    normal = channel_slice(results, NORMAL)
    if normal is not None:
        turned = points[:, normal] @ np.linalg.inv(linear).astype(np.float32)
        length = np.linalg.norm(turned, axis=1, keepdims=True)
        points[:, normal] = turned / np.maximum(length, 1e-12)
    step = np.eye(4)
    step[:3, :3], step[:3, 3] = linear, offset
    if 'gt_points' in results:
        whole = results['gt_points']
        moved = whole @ linear.T.astype(np.float32) + offset.astype(np.float32)
        results['gt_points'] = moved.astype(np.float32)
    results['points'] = points
    results['point_transform'] = step @ results.get('point_transform', np.eye(4))
    return results
