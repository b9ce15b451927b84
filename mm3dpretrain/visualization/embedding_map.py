"""Features of a data set as a picture: one dot a shape, one colour a class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mm3dpretrain.compat import require
from mm3dpretrain.datasets.io import atomic_path

METHODS = ('tsne', 'pca')
MARKERS = 'os^vDP*X'


def embed_2d(
    features: np.ndarray, method: str = 'tsne', seed: int = 0, perplexity: float = 30.0
) -> np.ndarray:
    """Two coordinates for each feature vector.

    Features are standardised first, as for the probes. t-SNE (van der Maaten and Hinton, JMLR
    2008) starts from the principal components and is repeatable for one seed.

    Args:
        features: (N, C).
        method: 'tsne' keeps neighbours together, distances between clusters mean nothing; 'pca'
            is linear.
        seed: of t-SNE.
        perplexity: of t-SNE; at most (N - 1) / 3 is used.

    Returns:
        (N, 2) float32.

    Raises:
        ValueError: for an unknown method, fewer than 4 features, or values that are not finite.
        ImportError: without scikit-learn.
    """
    from mm3dpretrain.evaluation.probes import standardize

    if method not in METHODS:
        raise ValueError(f'method must be one of {METHODS}, got {method!r}')
    features = np.asarray(features)
    if len(features) < 4:
        raise ValueError(f'a map needs at least 4 features, got {len(features)}')
    x, _ = standardize(features, features)
    if method == 'tsne':
        manifold = require('sklearn.manifold', extra='eval', why='the t-SNE map')
        perplexity = min(perplexity, (len(x) - 1) / 3)
        tsne = manifold.TSNE(init='pca', perplexity=perplexity, random_state=seed)
        return tsne.fit_transform(x).astype(np.float32)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    # the sign of an axis is arbitrary: make its largest entry positive
    axes = axes[:2]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    flat = np.zeros((len(x), 2), np.float32)
    flat[:, : len(axes)] = x @ axes.T
    return flat


def draw_embedding(
    coordinates: np.ndarray,
    labels: np.ndarray,
    path: str | os.PathLike,
    class_names: Sequence[str] | None = None,
    title: str = '',
    max_names: int = 40,
) -> Path:
    """Draw a map; the name of each class stands at its most central dot.

    Args:
        coordinates: (N, 2), see :func:`embed_2d`.
        labels: (N,) int; -1 (unknown) is grey.
        path: PNG to write.
        class_names: by label; default the numbers.
        title: above the map.
        max_names: with more classes than this, only the most frequent ones are named.

    Returns:
        The path.

    Raises:
        ValueError: if the shapes do not fit.
        ImportError: without matplotlib.
    """
    coordinates, labels = np.asarray(coordinates), np.asarray(labels)
    if coordinates.shape != (len(labels), 2):
        raise ValueError(f'{len(labels)} labels but coordinates of shape {coordinates.shape}')
    figure_module = require('matplotlib.figure', extra='eval', why='drawing a map')
    colors = require('matplotlib', extra='eval', why='drawing a map').colormaps['tab20']
    figure = figure_module.Figure(figsize=(8, 8), layout='constrained')
    axes = figure.add_subplot()
    classes, counts = np.unique(labels, return_counts=True)
    named = set(classes[np.argsort(-counts, kind='stable')[:max_names]])
    for index, label in enumerate(classes):
        dots = coordinates[labels == label]
        known = label >= 0
        axes.scatter(
            *dots.T,
            s=12,
            color=colors(index % 20) if known else '0.8',
            marker=MARKERS[index // 20 % len(MARKERS)] if known else '.',
            linewidths=0,
            alpha=0.8,
        )
        if known and label in named:
            name = class_names[label] if class_names is not None else str(label)
            # a median may lie among other classes; a dot of the class itself does not
            center = dots[np.abs(dots - np.median(dots, axis=0)).sum(axis=1).argmin()]
            box = dict(facecolor='white', alpha=0.6, edgecolor='none', pad=0.5)
            shade = tuple(0.6 * channel for channel in colors(index % 20)[:3])
            axes.text(*center, name, fontsize=7, ha='center', color=shade, bbox=box)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return Path(path)
