"""Simple, differentiable shading of rendered meshes."""

from __future__ import annotations

import torch
from torch import Tensor

from mm3dpretrain.structures import Cameras, Meshes
from mm3dpretrain.structures.precision import full_precision

from .base import RenderOutput
from .mesh_torch import gather_corners

MODES = ('lambert', 'headlight', 'normals', 'depth')
DEFAULT_ALBEDO = 0.7


def shade(
    output: RenderOutput,
    meshes: Meshes,
    cameras: Cameras,
    mode: str = 'lambert',
    albedo: Tensor | None = None,
    smooth: bool = True,
    ambient: float = 0.4,
    light_direction: tuple[float, float, float] = (0.4, 1.0, 0.25),
    frame: str = 'camera',
    depth_range: tuple[float, float] | None = None,
    background: float = 1.0,
) -> Tensor:
    """RGB pictures of rendered meshes.

    With n the unit normal, of the side of the face that the camera sees:

    - 'lambert': ``albedo (ambient + (1 - ambient) max(0, n . light))``,
    - 'headlight': ``albedo (ambient + (1 - ambient) max(0, n . to_camera))``,
    - 'normals': ``(n + 1) / 2`` of the three coordinates,
    - 'depth': ``(far - depth) / (far - near)`` in all channels: near is bright.

    Gradients reach the vertices through normals, weights and depth, the cameras, and the albedo.
    The edge of the mesh is hard; compare ``output.mask`` to move silhouettes.

    Args:
        output: of a mesh renderer, with B samples and V views.
        meshes: what was rendered.
        cameras: what it was rendered with; batch B or 1.
        mode: see above.
        albedo: (B, V, 3, H, W) colours in [0, 1], such as rendered vertex colours; None is a light
            grey. For 'lambert' and 'headlight'.
        smooth: normals of the vertices, interpolated; else those of the faces.
        ambient: share of the light that comes from everywhere, in [0, 1].
        light_direction: world vector towards the lamp, of any length; the default suits +y up.
        frame: 'camera' (x right, y down, z forward) or 'world', of the coordinates in 'normals'.
        depth_range: ``(near, far)`` of 'depth', in scene units; needed there and only there. Never
            taken from the picture, as two pictures could not be compared then.
        background: grey value in [0, 1] of the pixels that see no face.

    Returns:
        (B, V, 3, H, W) in [0, 1].

    Raises:
        ValueError: for an unknown mode or frame, a renderer's output without ``bary``, or
            impossible settings.
    """
    if mode not in MODES:
        raise ValueError(f'mode must be one of {MODES}, got {mode!r}')
    if frame not in ('camera', 'world'):
        raise ValueError(f"frame must be 'camera' or 'world', got {frame!r}")
    if not 0 <= ambient <= 1 or not 0 <= background <= 1:
        raise ValueError(f'ambient and background lie in [0, 1], got {ambient} and {background}')
    if output.bary is None:
        raise ValueError('shade needs the output of a mesh renderer: this one has no bary')
    if (mode == 'depth') != (depth_range is not None):
        raise ValueError(f"depth_range goes with mode 'depth', got {depth_range} with {mode!r}")
    dtype = output.depth.dtype
    cameras = cameras.to(output.depth.device, dtype).expand(len(output.depth))
    covered = (output.index >= 0)[:, :, None]
    if mode == 'depth':
        near, far = depth_range
        if not near < far:
            raise ValueError(f'need near < far in depth_range, got {depth_range}')
        picture = ((far - output.depth) / (far - near))[:, :, None].expand(-1, -1, 3, -1, -1)
    else:
        rotation = cameras.extrinsics[..., :3, :3]
        to_camera = _directions_to_camera(cameras)
        normals = _visible_normals(output, meshes, to_camera, smooth)
        if mode == 'normals':
            if frame == 'camera':
                normals = _rotate(rotation, normals)
            picture = 0.5 * normals + 0.5
        else:
            if mode == 'headlight':
                light = (normals * to_camera).sum(2, keepdim=True).clamp(min=0)
            else:
                lamp = _lamp(light_direction, normals)
                light = (normals * lamp[:, None, None]).sum(2, keepdim=True).clamp(min=0)
            if albedo is None:
                albedo = torch.full_like(normals, DEFAULT_ALBEDO)
            elif albedo.shape != normals.shape:
                raise ValueError(
                    f'albedo must be {tuple(normals.shape)}, got {tuple(albedo.shape)}'
                )
            picture = albedo * (ambient + (1 - ambient) * light)
    return torch.where(covered, picture, torch.full_like(picture, background)).clamp(0, 1)


def _lamp(direction: tuple[float, float, float], like: Tensor) -> Tensor:
    lamp = like.new_tensor(direction)
    if tuple(lamp.shape) != (3,) or not 0 < lamp.norm() < float('inf'):
        raise ValueError(f'light_direction must be three numbers, not all 0, got {direction}')
    return lamp / lamp.norm()


def _rotate(rotation: Tensor, vectors: Tensor) -> Tensor:
    """Rotations (B, V, 3, 3) of maps of vectors (B, V, 3, H, W)."""
    columns = rotation[..., None, None]
    return sum(columns[:, :, :, k] * vectors[:, :, k : k + 1] for k in range(3))


def _directions_to_camera(cameras: Cameras) -> Tensor:
    """Unit vectors (B, V, 3, H, W) in the world, from every pixel's surface to the camera."""
    shape = (len(cameras), cameras.num_views, *cameras.image_size)
    # A direction does not depend on where the camera stands. Without its position nothing is lost
    # to rounding, be it millions of units away.
    at_origin = cameras.extrinsics.new_tensor([1.0, 1.0, 1.0, 0.0])
    cameras = Cameras(
        cameras.extrinsics * at_origin, cameras.intrinsics, cameras.image_size, cameras.projection
    )
    with full_precision(cameras.device):
        near = cameras.unproject(cameras.extrinsics.new_full(shape, 1.0))
        far = cameras.unproject(cameras.extrinsics.new_full(shape, 2.0))
    return torch.nn.functional.normalize(near - far, dim=-1).permute(0, 1, 4, 2, 3)


def _visible_normals(
    output: RenderOutput, meshes: Meshes, to_camera: Tensor, smooth: bool
) -> Tensor:
    """Unit normals (B, V, 3, H, W) in the world at every pixel; 0 in the background."""
    batch, views, height, width = output.index.shape
    index = output.index.flatten()
    pixel = torch.nonzero(index >= 0)[:, 0]
    face = index[pixel]
    sample = torch.div(pixel, views * height * width, rounding_mode='floor')
    flat = meshes.face_normals()
    flat = flat.reshape(-1, 3)[sample * flat.shape[1] + face]
    normals = flat
    if smooth:
        corners = gather_corners(meshes.vertex_normals(), meshes.faces, sample, face)
        weights = output.bary.reshape(-1, 3)[pixel]
        normals = sum(weights[:, k : k + 1] * corners[:, k] for k in range(3))
        normals = torch.nn.functional.normalize(normals, dim=-1)
    # The face decides which side is seen: at a silhouette, smooth normals already look away.
    view = to_camera.permute(0, 1, 3, 4, 2).reshape(-1, 3)[pixel]
    behind = (flat * view).sum(1, keepdim=True) < 0
    normals = torch.where(behind, -normals, normals)
    maps = normals.new_zeros(len(index), 3).index_copy(0, pixel, normals)
    return maps.reshape(batch, views, height, width, 3).permute(0, 1, 4, 2, 3).to(output.depth)
