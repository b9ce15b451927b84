"""Points coloured by what an encoder finds at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

# shares of the values that get the darkest and the brightest colour
LOW, HIGH = 0.02, 0.98


@torch.no_grad()
def point_features(model: nn.Module, points: Tensor) -> Tensor:
    """Local features of a model, carried from its patch centres to all points.

    See :func:`~mm3dpretrain.models.utils.feature_propagation.interpolate_features`.

    Args:
        model: with ``extract_feat`` (any pretrainer), or an encoder whose ``forward(points)``
            returns a dict; ``local`` (B, G, C) and ``xyz`` (B, G, 3) are used.
        points: (B, N, >= 3) as the model reads them, coordinates first.

    Returns:
        (B, N, C) float32.

    Raises:
        ValueError: if the model has no local features.
    """
    from mm3dpretrain.models.utils.feature_propagation import interpolate_features

    if hasattr(model, 'extract_feat'):
        outputs = model.extract_feat({'points': points})
    else:
        outputs = model(points)
    found = sorted(outputs) if isinstance(outputs, Mapping) else [type(outputs).__name__]
    if not {'local', 'xyz'} <= set(found) or outputs['local'] is None or outputs['xyz'] is None:
        raise ValueError(
            f"{type(model).__name__} has no local features to show: 'local' (B, G, C) at 'xyz' "
            f'(B, G, 3) are needed, it gives {found}'
        )
    local, xyz = outputs['local'].float(), outputs['xyz'].float()
    return interpolate_features(points[..., :3].float(), xyz, local)


def pca_colors(features: Sequence[np.ndarray]) -> list[np.ndarray]:
    """First three principal components of features as red, green and blue.

    The components are those of all clouds together, so that one colour means the same in each of
    them. The sign of a component is arbitrary; here its largest entry is positive, so that the same
    features always give the same colours. Every component is stretched over the whole scale.

    Args:
        features: one array (N_i, C) for each cloud.

    Returns:
        One array (N_i, 3) uint8 for each cloud. A component that is not there (C < 3, or features
        that do not vary in a third direction) is mid-grey.

    Raises:
        ValueError: for no features, different widths, or values that are not finite.
    """
    widths = {np.shape(f)[1:] for f in features}
    if len(widths) != 1 or len(next(iter(widths))) != 1 or not sum(len(f) for f in features):
        raise ValueError(
            f'features must be (N, C) with one C, got {[np.shape(f) for f in features]}'
        )
    joint = np.concatenate([np.asarray(f, np.float64) for f in features])
    if not np.isfinite(joint).all():
        raise ValueError('features have NaN or infinite values: is the checkpoint sound?')
    joint -= joint.mean(0)
    variance, axes = np.linalg.eigh(joint.T @ joint)
    variance, axes = variance[::-1][:3], axes[:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    # directions that are there only by rounding would be stretched to noise
    axes = axes[:, variance > 1e-12 * max(variance[0], 1e-300)]
    values = joint @ axes
    colors = np.full((len(joint), 3), 128, np.uint8)
    if values.shape[1]:
        low, high = np.quantile(values, [LOW, HIGH], axis=0)
        scaled = (values - low) / np.maximum(high - low, 1e-300)
        colors[:, : values.shape[1]] = np.rint(255 * np.clip(scaled, 0, 1))
    return np.split(colors, np.cumsum([len(f) for f in features])[:-1])
