"""A hand-made shape descriptor, so that a learned one is never compared with nothing."""

from __future__ import annotations

import numpy as np


def d2_histogram(
    points: np.ndarray, num_pairs: int = 50000, num_bins: int = 64, seed: int = 0
) -> np.ndarray:
    """Rotation-invariant descriptor: histograms of pair distances (D2) and of radii.

    D2 is the shape distribution of Osada et al., "Shape Distributions" (ACM ToG 2002), section
    3.2. Both histograms are taken after centring on the mean and dividing by the largest radius,
    each sums to 1.

    Args:
        points: (N, >= 3) one cloud; coordinates first, any unit.
        num_pairs: random pairs of points.
        num_bins: bins of each histogram; distances cover [0, 2], radii [0, 1].
        seed: of the pairs.

    Returns:
        (2 * num_bins,) float32.

    Raises:
        ValueError: for an empty cloud, another shape, or values that are not finite.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] < 3 or len(points) == 0:
        raise ValueError(f'a cloud must be (N, >= 3) with N > 0, got {points.shape}')
    xyz = points[:, :3].astype(np.float64)
    if not np.isfinite(xyz).all():
        raise ValueError('the cloud holds NaN or infinite coordinates')
    xyz = xyz - xyz.mean(axis=0)
    radius = np.linalg.norm(xyz, axis=1)
    scale = max(float(radius.max()), 1e-12)
    first, second = np.random.RandomState(seed).randint(len(xyz), size=(2, num_pairs))
    distance = np.linalg.norm(xyz[first] - xyz[second], axis=1) / scale
    parts = []
    for values, top in ((distance, 2.0), (radius / scale, 1.0)):
        counts, _ = np.histogram(values, bins=num_bins, range=(0.0, top))
        parts.append(counts / max(counts.sum(), 1))
    return np.concatenate(parts).astype(np.float32)


def l1_nearest_neighbor(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray
) -> float:
    """Accuracy in percent of the class of the L1-nearest training descriptor.

    Args:
        train_x: (N, C) descriptors.
        train_y: (N,) labels.
        test_x: (M, C).
        test_y: (M,).

    Raises:
        ValueError: if a split is empty.
    """
    train_x, test_x = np.asarray(train_x), np.asarray(test_x)
    if not len(train_x) or not len(test_x):
        raise ValueError(f'an empty split: {len(train_x)} training, {len(test_x)} test descriptors')
    # one test descriptor at a time: N x C memory, not M x N x C
    nearest = [int(np.abs(train_x - row).sum(axis=1).argmin()) for row in test_x]
    return float(100.0 * (np.asarray(train_y)[nearest] == np.asarray(test_y)).mean())
