"""What a model with a point decoder and a renderer makes of some clouds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from mm3dpretrain.datasets.io import atomic_path

from .contact_sheet import contact_sheet
from .points import draw_points

COLUMNS = ('input', 'RGB view', 'depth, true', 'depth, reconstructed', 'reconstruction')


def draw_reconstructions(
    output: dict[str, Tensor],
    points: Tensor,
    images: Sequence[Tensor],
    captions: Sequence[str],
    path: str | Path,
    view: int = 0,
    size: int = 160,
    up_axis: str = 'y',
) -> Path:
    """Write a contact sheet, one row for each cloud.

    Columns: input points; RGB view; depth picture of the truth and of the reconstruction, from the
    same camera; reconstructed points.

    Args:
        output: what ``reconstruct`` returns: ``cloud`` (B, M, 3), ``depth`` and ``depth_true``
            (B, V, H, W) in [0, 1].
        points: (B, N, >= 3) the true clouds.
        images: B RGB pictures (3, H, W), 0 to 255.
        captions: B lines of text.
        path: PNG to write.
        view: which of the V views.
        size: side of a panel in pixels.
        up_axis: of the clouds.

    Returns:
        The path.
    """
    rows = []
    for index, image in enumerate(images):
        depths = [output[key][index, view].cpu().numpy() for key in ('depth_true', 'depth')]
        # one scale for both, so that they can be compared
        top = max(max(float(depth.max()) for depth in depths), 1e-6)
        panels = [
            draw_points(points[index].cpu().numpy(), size, up_axis=up_axis),
            _resize(image.permute(1, 2, 0).cpu().numpy().astype(np.uint8), size),
            *[_resize(_gray(depth / top), size) for depth in depths],
            draw_points(output['cloud'][index].cpu().numpy(), size, up_axis=up_axis),
        ]
        rows.append(panels)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), contact_sheet(rows, COLUMNS, captions)[..., ::-1])
    return Path(path)


def _resize(picture: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST)


def _gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.uint8(np.clip(values, 0, 1) * 255)[..., None], 3, -1)
