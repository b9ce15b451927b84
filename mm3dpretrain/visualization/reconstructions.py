"""What a model with a point decoder and a renderer makes of some clouds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mm3dpretrain.datasets.io import atomic_path

from .contact_sheet import contact_sheet
from .points import draw_points, viewer

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


class Reconstruction(NamedTuple):
    """What a model makes of one cloud.

    Attributes:
        points: (N, 3) the cloud.
        visible: (K, 3) what the model saw of it, or None if it saw everything.
        cloud: (M, 3) what it made of that.
        depth_true: (H, W) in [0, 1] depth picture of ``points``; near is bright, 0 is background.
        depth: (H, W) the same of ``cloud``.
    """

    points: np.ndarray
    visible: np.ndarray | None
    cloud: np.ndarray
    depth_true: np.ndarray
    depth: np.ndarray


@torch.no_grad()
def reconstruct_clouds(
    model: nn.Module, points: Tensor, up_axis: str = 'y'
) -> list[Reconstruction]:
    """Let a model reconstruct clouds, and render depth pictures of both.

    A model reconstructs with a method ``reconstruct(points)`` that returns ``cloud`` (B, M, 3) and
    ``mask`` (B, G) of the hidden patches (such as DRPoint), or by data samples of ``predict`` with
    ``pred_points`` (such as PointDVAE). Depth is rendered by the model's own renderer from the
    first of its own views where it has them, and otherwise as dots from the viewer of
    :func:`draw_points`.

    Args:
        model: in eval mode.
        points: (B, N, C) as in training, coordinates first.
        up_axis: of the clouds.

    Returns:
        One :class:`Reconstruction` for each cloud, on the CPU.

    Raises:
        ValueError: if the model reconstructs nothing.
    """
    xyz = points[..., :3]
    visible: list[Tensor | None] = [None] * len(points)
    if hasattr(model, 'reconstruct'):
        output = model.reconstruct(points)
        cloud = output['cloud']
        patches = model.point_encoder.group(points)
        for index, (mask, idx) in enumerate(zip(output['mask'], patches.idx)):
            visible[index] = xyz[index, idx[~mask].unique()]
    else:
        samples = model.predict({'points': points}) if hasattr(model, 'predict') else [{}]
        if 'pred_points' not in samples[0]:
            raise ValueError(
                f'{type(model).__name__} reconstructs no points: it has no `reconstruct`, and its '
                'predictions have no `pred_points`'
            )
        cloud = torch.stack([sample.pred_points for sample in samples])
    renderer, cameras = getattr(model, 'renderer', None), getattr(model, 'cameras', None)
    if renderer is None or cameras is None:
        from mm3dpretrain.models.renderers import PointSplatRenderer

        renderer = PointSplatRenderer(radius=2.5, near=0.5, far=5.0)
        cameras = viewer(128, 30.0, up_axis)
    cameras = cameras.select_views(0).to(points.device)
    depths = [renderer.depth_image(renderer(c, cameras))[:, 0] for c in (xyz, cloud)]
    return [
        Reconstruction(*(None if part is None else part.float().cpu().numpy() for part in parts))
        for parts in zip(xyz, visible, cloud, *depths)
    ]


def reconstruction_sheet(
    results: Sequence[Reconstruction], captions: Sequence[str], size: int = 160, up_axis: str = 'y'
) -> np.ndarray:
    """Contact sheet with a row for each cloud: input, what was visible, reconstruction, depths.

    Args:
        results: of :func:`reconstruct_clouds`.
        captions: a line of text for each.
        size: side of a panel in pixels.
        up_axis: of the clouds.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    masked = any(result.visible is not None for result in results)
    columns = ['input', *(['visible to the model'] if masked else []), 'reconstruction',
               'depth of the input', 'of the reconstruction']  # fmt: skip
    rows = []
    for result in results:
        clouds = [result.points, *([result.visible] if masked else []), result.cloud]
        # one scale for both, so that they can be compared
        top = max(float(result.depth_true.max()), float(result.depth.max()), 1e-6)
        rows.append(
            [draw_points(cloud, size, up_axis=up_axis) for cloud in clouds]
            + [_resize(_gray(depth / top), size) for depth in (result.depth_true, result.depth)]
        )
    return contact_sheet(rows, columns, captions)


def _resize(picture: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_NEAREST)


def _gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.uint8(np.clip(values, 0, 1) * 255)[..., None], 3, -1)
