"""Batched pinhole and orthographic cameras in the OpenCV convention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .precision import full_precision

PROJECTIONS = ('perspective', 'orthographic')


# eq=False: comparing or hashing tensors field by field has no meaning
@dataclass(frozen=True, eq=False)
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
        ValueError: for wrong shapes, an unknown projection, an empty image, or extrinsics and
            intrinsics of different dtype or device.
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
        ours = (self.extrinsics.dtype, self.extrinsics.device)
        theirs = (self.intrinsics.dtype, self.intrinsics.device)
        if ours != theirs or not ours[0].is_floating_point:
            raise ValueError(
                'extrinsics and intrinsics must share one floating dtype and device, '
                f'got {ours} and {theirs}'
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
        """Cameras with only the views of ``index`` (int, list, slice or 1-d int64 tensor).

        Raises:
            ValueError: for an empty list.
        """
        if not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.device).reshape(-1)
            if not len(index):
                raise ValueError('select_views needs at least one view, got an empty list')
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
        """Stack along the batch.

        Raises:
            ValueError: for an empty list, or if the image sizes, projections or numbers of views
                differ.
        """
        if not cameras:
            raise ValueError('Cameras.cat needs at least one element')
        first = cameras[0]
        for other in cameras[1:]:
            theirs = (other.image_size, other.projection, other.num_views)
            if theirs != (first.image_size, first.projection, first.num_views):
                raise ValueError(
                    'cameras of one batch must share image size, projection and number of views, '
                    f'got {(first.image_size, first.projection, first.num_views)} and {theirs}'
                )
        return Cameras(
            torch.cat([c.extrinsics for c in cameras]),
            torch.cat([c.intrinsics for c in cameras]),
            first.image_size,
            first.projection,
        )

    def world_to_camera(self, points: Tensor) -> Tensor:
        """Points (B, N, 3) in the world to (B, V, N, 3) in each camera frame.

        A batch of one, of points or of cameras, goes with any batch of the other.

        Raises:
            ValueError: for points of another shape or batch size.
        """
        if points.dim() != 3 or points.shape[-1] != 3:
            raise ValueError(f'points must be (B, N, 3), got {tuple(points.shape)}')
        if 1 not in (len(self), len(points)) and len(self) != len(points):
            raise ValueError(f'{len(self)} samples of cameras for {len(points)} samples of points')
        rotation, translation = self.extrinsics[..., :3, :3], self.extrinsics[..., :3, 3]
        # products and sums one by one: a matrix product may round differently in another batch
        x, y, z = (points[:, None, :, i : i + 1] for i in range(3))
        columns = rotation.mT[:, :, None]
        return (
            columns[..., 0, :] * x
            + columns[..., 1, :] * y
            + columns[..., 2, :] * z
            + translation[:, :, None]
        )

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
        columns = intr[:, :, None, :2].mT
        uv = (
            columns[..., 0, :] * xy[..., :1] + columns[..., 1, :] * xy[..., 1:] + columns[..., 2, :]
        )
        return uv, depth

    def unproject(self, depth: Tensor) -> Tensor:
        """World positions of every pixel centre of z-depth maps.

        Args:
            depth: (B, V, H, W) along z.

        Returns:
            (B, V, H, W, 3) in the world frame. Background (depth 0) gives the camera centre
            (perspective) or its plane (orthographic); mask it.

        Raises:
            ValueError: if the maps do not have the cameras' image size.
        """
        height, width = self.image_size
        if depth.dim() != 4 or tuple(depth.shape[-2:]) != (height, width):
            raise ValueError(f'depth must be (B, V, {height}, {width}), got {tuple(depth.shape)}')
        v, u = torch.meshgrid(
            torch.arange(height, device=depth.device, dtype=depth.dtype) + 0.5,
            torch.arange(width, device=depth.device, dtype=depth.dtype) + 0.5,
            indexing='ij',
        )
        uv1 = torch.stack([u, v, torch.ones_like(u)], -1)
        with full_precision(depth.device):
            rays = torch.einsum('bvij,hwj->bvhwi', torch.inverse(self.intrinsics), uv1)
        if self.projection == 'perspective':
            cam = rays * depth[..., None]
        else:
            cam = torch.cat([rays[..., :2], depth[..., None]], -1)
        rotation, translation = self.extrinsics[..., :3, :3], self.extrinsics[..., :3, 3]
        # rows times R is R^T applied to columns: the inverse of a rotation
        with full_precision(depth.device):
            return torch.einsum('bvji,bvhwj->bvhwi', rotation, cam - translation[:, :, None, None])

    def check_in_front(
        self, points: Tensor, min_depth: float = 0.0, min_share: float = 1.0
    ) -> None:
        """Refuse cameras that have the object, or too much of it, behind them.

        For data preparation, where such a camera is a mistake in a file or a convention; rendering
        itself simply culls what is behind.

        Args:
            points: (B, N, 3) in the world frame.
            min_depth: a point counts as in front if its depth is greater than this.
            min_share: share in [0, 1] of a sample's points that each view must have in front.

        Raises:
            ValueError: naming the first sample and view that fails.
        """
        depth = self.world_to_camera(points)[..., 2]
        share = (depth > min_depth).float().mean(-1)
        bad = torch.nonzero(share < min_share)
        if len(bad):
            sample, view = bad[0].tolist()
            raise ValueError(
                f'view {view} of sample {sample}: {1 - share[sample, view].item():.0%} of the '
                f'points lie behind the camera (depth from {depth[sample, view].min().item():.4g} '
                f'to {depth[sample, view].max().item():.4g}, wanted > {min_depth:g}). Check that '
                'the extrinsics are world-to-camera in the OpenCV convention (z forward).'
            )

    @property
    def centers(self) -> Tensor:
        """Camera centres in the world frame, (B, V, 3)."""
        rotation, translation = self.extrinsics[..., :3, :3], self.extrinsics[..., :3, 3]
        with full_precision(self.device):
            return -torch.einsum('bvji,bvj->bvi', rotation, translation)


def look_at(eyes: Tensor, target: Tensor | None = None, up: Tensor | None = None) -> Tensor:
    """World-to-camera matrices of OpenCV cameras that look from ``eyes`` at ``target``.

    Args:
        eyes: (..., 3) camera centres in the world.
        target: (..., 3) or (3,) point looked at; default the origin.
        up: (3,) or (..., 3) world direction that shall appear upwards in the image, of any length;
            default +z. Where it is parallel to the viewing direction the world axis that is most
            perpendicular to that direction is taken (the first of equals).

    Returns:
        (..., 4, 4) extrinsics.

    Raises:
        ValueError: if an eye coincides with its target, ``up`` is zero, or a value is not finite.
    """
    target = torch.zeros_like(eyes) if target is None else target.to(eyes).expand_as(eyes)
    up = eyes.new_tensor([0.0, 0.0, 1.0]) if up is None else up.to(eyes)
    up = up.expand_as(eyes)
    for name, value in (('eyes', eyes), ('target', target), ('up', up)):
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f'look_at: {name} has values that are not finite')
    forward = target - eyes
    distance = forward.norm(dim=-1, keepdim=True)
    if bool((distance < 1e-9).any()):
        raise ValueError('look_at: an eye coincides with its target')
    if bool((up.norm(dim=-1) < 1e-9).any()):
        raise ValueError('look_at: up must not be zero')
    forward = forward / distance
    up = torch.nn.functional.normalize(up, dim=-1)
    # a camera straight above has no horizon
    parallel = torch.cross(forward, up, dim=-1).norm(dim=-1, keepdim=True) < 1e-4
    spare = torch.nn.functional.one_hot(forward.abs().argmin(-1), 3).to(up)
    up = torch.where(parallel, spare, up)
    right = torch.nn.functional.normalize(torch.cross(forward, up, dim=-1), dim=-1)
    down = torch.cross(forward, right, dim=-1)
    rotation = torch.stack([right, down, forward], dim=-2)
    extrinsics = torch.zeros(*eyes.shape[:-1], 4, 4, dtype=eyes.dtype, device=eyes.device)
    extrinsics[..., :3, :3] = rotation
    with full_precision(eyes.device):
        extrinsics[..., :3, 3] = -torch.einsum('...ij,...j->...i', rotation, eyes)
    extrinsics[..., 3, 3] = 1.0
    return extrinsics
