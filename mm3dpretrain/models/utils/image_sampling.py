"""Features of images at the points of a LiDAR sweep."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mm3dpretrain.structures import Cameras

from ..renderers.point_projector import PointProjector

#: smallest depth that mmdet3d divides by; what is behind a camera lands far outside of its picture
MIN_DEPTH = 1e-5


def project_to_images(
    xyz: Tensor,
    lidar2img: Tensor,
    image_size: tuple[int, int],
    img_shape: Tensor | None = None,
    depth: Tensor | None = None,
    projector: PointProjector | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of LiDAR points, and which camera sees them.

    Args:
        xyz: (B, N, 3) in the LiDAR frame that the matrices belong to, metres.
        lidar2img: (B, V, 4, 4) to pixels of the pictures as the network gets them, every resize,
            crop and flip included: ``(u z, v z, z) = P (x, y, z, 1)``.
        image_size: (H, W) of the pictures, padding included.
        img_shape: (B, V, 2), (h, w) of the pictures without the padding at the right and the
            bottom; None: there is none.
        depth: (B, V, h, w) of the sweep, at any resolution, 0 where nothing was measured: points
            that do not agree with it are hidden. None: nothing is.
        projector: whose tolerance decides on that.

    Returns:
        ``uv`` (B, V, N, 2) pixels, far outside for points behind the camera, ``z`` (B, V, N) metres
        and bool (B, V, N), whether the camera sees the point: in front of it, in the picture, not
        hidden.

    Raises:
        ValueError: for wrong shapes.
    """
    if lidar2img.dim() != 4 or tuple(lidar2img.shape[-2:]) != (4, 4):
        raise ValueError(f'lidar2img must be (B, V, 4, 4), got {tuple(lidar2img.shape)}')
    eye = torch.eye(3, dtype=lidar2img.dtype, device=lidar2img.device)
    # the whole projection in place of the extrinsics: nothing needs the two apart
    cameras = Cameras(lidar2img, eye.expand(*lidar2img.shape[:2], 3, 3), image_size)
    uv, z, seen = (projector or PointProjector()).visible(xyz, cameras, depth)
    behind = cameras.world_to_camera(xyz.to(lidar2img))[..., :2] / MIN_DEPTH
    uv = torch.where((z < MIN_DEPTH)[..., None], behind, uv)
    if img_shape is not None:
        if img_shape.shape != (*lidar2img.shape[:2], 2):
            raise ValueError(
                f'img_shape must be {(*lidar2img.shape[:2], 2)}, got {tuple(img_shape.shape)}'
            )
        seen = seen & (uv < img_shape.flip(-1)[:, :, None]).all(-1)
    return uv, z, seen


def sample_images(
    maps: Sequence[Tensor],
    uv: Tensor,
    image_size: tuple[int, int],
    seen: Tensor | None = None,
    projector: PointProjector | None = None,
) -> Tensor:
    """Features of one or several maps at the points, the mean over the cameras that see a point.

    Args:
        maps: (B V, C_l, h_l, w_l) each, such as the levels of a backbone; each covers the whole
            picture, padding included.
        uv: (B, V, N, 2) pixels, see :func:`project_to_images`.
        image_size: (H, W) of the pictures, padding included.
        seen: bool (B, V, N); None: every camera counts. Points that none sees get 0.
        projector: says how maps are interpolated; ``PointProjector(align_corners=True,
            padding='zeros')`` is mmdet3d's ``point_sample``.

    Returns:
        (B, N, C), C the sum of the levels' channels.
    """
    projector = projector or PointProjector()
    views = uv.shape[:2]
    levels = [projector.sample(m.unflatten(0, views), uv, image_size, seen) for m in maps]
    features = torch.cat(levels, dim=-1)
    if views[1] == 1:
        return features[:, 0]
    cameras = views[1] if seen is None else seen.sum(1).clamp(min=1)[..., None]
    return features.sum(1) / cameras
