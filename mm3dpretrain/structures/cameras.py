"""Batched pinhole and orthographic cameras in the OpenCV convention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

PROJECTIONS = ('perspective', 'orthographic')


@dataclass(frozen=True)
class Cameras:
    """V cameras for each of B samples.

    Camera frame: x right, y down, z forward. The centre of the pixel in row i and column j is at
    ``(u, v) = (j + 0.5, i + 0.5)``.

    Args:
        extrinsics: (B, V, 4, 4) world-to-camera, ``X_cam = R X_world + t``; metres or the unit of
            the scene.
        intrinsics: (B, V, 3, 3) in pixels. Perspective: ``u = fx x / z + cx``. Orthographic:
            ``u = fx x + cx``, with fx in pixels per scene unit.
        image_size: (H, W) in pixels, the same for all views.
        projection: 'perspective' or 'orthographic'.

    Raises:
        ValueError: for wrong shapes, an unknown projection or an empty image.
    """

    extrinsics: Tensor
    intrinsics: Tensor
    image_size: tuple[int, int]
    projection: str = 'perspective'

    def __post_init__(self) -> None:
        if self.projection not in PROJECTIONS:
            raise ValueError(f'projection must be one of {PROJECTIONS}, got {self.projection!r}')
        if self.extrinsics.dim() != 4 or self.extrinsics.shape[-2:] != (4, 4):
            raise ValueError(f'extrinsics must be (B, V, 4, 4), got {tuple(self.extrinsics.shape)}')
        expected = (*self.extrinsics.shape[:2], 3, 3)
        if tuple(self.intrinsics.shape) != expected:
            raise ValueError(
                f'intrinsics must be {expected} to match the extrinsics, '
                f'got {tuple(self.intrinsics.shape)}'
            )
        height, width = (int(s) for s in self.image_size)
        if height < 1 or width < 1:
            raise ValueError(f'image_size must be positive (H, W), got {self.image_size}')
        object.__setattr__(self, 'image_size', (height, width))

    def __len__(self) -> int:
        return self.extrinsics.shape[0]

    @property
    def num_views(self) -> int:
        return self.extrinsics.shape[1]

    @property
    def device(self) -> torch.device:
        return self.extrinsics.device

    def to(self, *args, **kwargs) -> Cameras:
        """Cameras with both tensors moved as by :meth:`torch.Tensor.to`."""
        return Cameras(
            self.extrinsics.to(*args, **kwargs),
            self.intrinsics.to(*args, **kwargs),
            self.image_size,
            self.projection,
        )

    def select_views(self, index) -> Cameras:
        """Cameras with only the views of ``index`` (list, slice or int64 tensor)."""
        if isinstance(index, int):
            index = [index]
        return Cameras(
            self.extrinsics[:, index], self.intrinsics[:, index], self.image_size, self.projection
        )

    def expand(self, batch_size: int) -> Cameras:
        """The cameras of a batch of one, repeated for ``batch_size`` samples.

        Raises:
            ValueError: if the batch is neither 1 nor ``batch_size``.
        """
        if len(self) not in (1, batch_size):
            raise ValueError(f'cannot expand cameras of batch {len(self)} to {batch_size}')
        return Cameras(
            self.extrinsics.expand(batch_size, -1, -1, -1),
            self.intrinsics.expand(batch_size, -1, -1, -1),
            self.image_size,
            self.projection,
        )

    def rescale(self, image_size: tuple[int, int]) -> Cameras:
        """The same views at another resolution (H, W)."""
        height, width = self.image_size
        factor = self.intrinsics.new_tensor([image_size[1] / width, image_size[0] / height, 1.0])
        return Cameras(
            self.extrinsics, self.intrinsics * factor[:, None], tuple(image_size), self.projection
        )

    @staticmethod
    def cat(cameras: list[Cameras]) -> Cameras:
        """Stack along the batch. All must share the image size and the projection."""
        first = cameras[0]
        for other in cameras[1:]:
            if (other.image_size, other.projection) != (first.image_size, first.projection):
                raise ValueError(
                    'cameras of one batch must share image size and projection, got '
                    f'{(first.image_size, first.projection)} and '
                    f'{(other.image_size, other.projection)}'
                )
        return Cameras(
            torch.cat([c.extrinsics for c in cameras]),
            torch.cat([c.intrinsics for c in cameras]),
            first.image_size,
            first.projection,
        )

    def world_to_camera(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the world to (B, V, N, 3) in each camera frame."""
        rotation, translation = self.extrinsics[..., :3, :3], self.extrinsics[..., :3, 3]
        return torch.einsum('bvij,bnj->bvni', rotation, points) + translation[:, :, None]

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Project world points to pixels.

        Args:
            points: (B, N, 3) in the world frame.

        Returns:
            ``uv`` (B, V, N, 2) in pixels and ``depth`` (B, V, N) along z. Points with
            ``depth <= 0`` are behind a perspective camera; their ``uv`` is finite but has no
            meaning.
        """
        cam = self.world_to_camera(points)
        depth = cam[..., 2]
        xy = cam[..., :2]
        if self.projection == 'perspective':
            # keep the division finite for points in or behind the camera plane
            safe = torch.where(depth > 1e-6, depth, torch.ones_like(depth))
            xy = xy / safe[..., None]
        intr = self.intrinsics
        uv = torch.einsum('bvij,bvnj->bvni', intr[..., :2, :2], xy) + intr[:, :, None, :2, 2]
        return uv, depth

    def unproject(self, depth: Tensor) -> Tensor:
        """World positions of every pixel centre of z-depth maps.

        Args:
            depth: (B, V, H, W) along z.

        Returns:
            (B, V, H, W, 3) in the world frame. Background (depth 0) gives the camera centre
            (perspective) or its plane (orthographic); mask it.
        """
        height, width = self.image_size
        v, u = torch.meshgrid(
            torch.arange(height, device=depth.device, dtype=depth.dtype) + 0.5,
            torch.arange(width, device=depth.device, dtype=depth.dtype) + 0.5,
            indexing='ij',
        )
        uv1 = torch.stack([u, v, torch.ones_like(u)], -1)
        rays = torch.einsum('bvij,hwj->bvhwi', torch.inverse(self.intrinsics), uv1)
        if self.projection == 'perspective':
            cam = rays * depth[..., None]
        else:
            cam = torch.cat([rays[..., :2], depth[..., None]], -1)
        rotation, translation = self.extrinsics[..., :3, :3], self.extrinsics[..., :3, 3]
        # rows times R is R^T applied to columns: the inverse of a rotation
        return torch.einsum('bvji,bvhwj->bvhwi', rotation, cam - translation[:, :, None, None])

    @property
    def centers(self) -> Tensor:
        """Camera centres in the world frame, (B, V, 3)."""
        rotation, translation = self.extrinsics[..., :3, :3], self.extrinsics[..., :3, 3]
        return -torch.einsum('bvji,bvj->bvi', rotation, translation)


def look_at(eyes: Tensor, target: Tensor | None = None, up: Tensor | None = None) -> Tensor:
    """World-to-camera matrices of OpenCV cameras that look from ``eyes`` at ``target``.

    Args:
        eyes: (..., 3) camera centres in the world.
        target: (..., 3) or (3,) point looked at; default the origin.
        up: (3,) world direction that shall appear upwards in the image; default +z. Where it is
            parallel to the viewing direction another axis is taken.

    Returns:
        (..., 4, 4) extrinsics.

    Raises:
        ValueError: if an eye coincides with its target.
    """
    target = torch.zeros_like(eyes) if target is None else target.expand_as(eyes)
    up = eyes.new_tensor([0.0, 0.0, 1.0]) if up is None else up.to(eyes)
    forward = target - eyes
    distance = forward.norm(dim=-1, keepdim=True)
    if bool((distance < 1e-9).any()):
        raise ValueError('look_at: an eye coincides with its target')
    forward = forward / distance
    up = up.expand_as(forward)
    parallel = torch.cross(forward, up, dim=-1).norm(dim=-1, keepdim=True) < 1e-4
    # a camera straight above has no horizon: take the world axis that is least aligned with up
    spare = torch.roll(up, 1, dims=-1)
    up = torch.where(parallel, spare, up)
    right = torch.nn.functional.normalize(torch.cross(forward, up, dim=-1), dim=-1)
    down = torch.cross(forward, right, dim=-1)
    rotation = torch.stack([right, down, forward], dim=-2)
    extrinsics = torch.zeros(*eyes.shape[:-1], 4, 4, dtype=eyes.dtype, device=eyes.device)
    extrinsics[..., :3, :3] = rotation
    extrinsics[..., :3, 3] = -torch.einsum('...ij,...j->...i', rotation, eyes)
    extrinsics[..., 3, 3] = 1.0
    return extrinsics
