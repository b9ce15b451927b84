"""Differentiable rendering of triangle meshes with a z-buffer."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from mm3dpretrain.registry import RENDERERS
from mm3dpretrain.structures import Cameras, Meshes
from mm3dpretrain.structures.precision import at_least_float32

from . import mesh_torch
from .base import BaseRenderer, RenderOutput
from .silhouette import SoftSilhouette

BACKENDS = ('auto', 'numba', 'torch', 'naive')


@RENDERERS.register_module()
class MeshRenderer(BaseRenderer):
    """Draws the front-most face at every pixel centre.

    ``index`` is the face's number among the faces of its sample, ``bary`` the weights of its
    corners at the point of the surface that the pixel sees, ``depth`` and ``features`` the values
    there. A pixel centre exactly on an edge belongs to the face; of faces at equal depth the one
    with the lowest index is drawn. Faces that cross the near or the far plane, or pass behind the
    camera, are drawn as far as they lie between the planes. Faces without area, and those seen
    exactly edge-on, are not drawn.

    Gradients of ``depth``, ``bary`` and ``features`` are exact for the faces that are seen, with
    respect to vertices, features and cameras. As a hard coverage jumps, none of them moves a
    silhouette; ask for a soft one (``silhouette``), whose mask also sees the faces next to it.
    Nothing depends on other samples of the batch. Positions are computed in double precision,
    features in that of the vertices (at least single).

    Args:
        near, far: geometry with a depth outside [near, far] is not drawn; scene units along z.
        back_faces: whether faces are also drawn where they are seen from behind. The front is the
            side from which the corners run counter-clockwise in the world, also under cameras
            that mirror.
        silhouette: None for a mask of zeros and ones, or the arguments of
            :class:`~mm3dpretrain.models.renderers.silhouette.SoftSilhouette`; ``dict()`` gives the
            defaults.
        backend: 'torch' runs on any device, 'numba' only on the CPU, with the same result; 'auto'
            takes numba on the CPU and torch elsewhere. 'naive' is the definition, every ray
            against every face, for tests and benchmarks.

    Raises:
        ValueError: for impossible settings.
    """

    def __init__(
        self,
        near: float = 0.5,
        far: float = 3.5,
        back_faces: bool = True,
        silhouette: dict | None = None,
        backend: str = 'auto',
    ) -> None:
        super().__init__(near, far)
        if backend not in BACKENDS:
            raise ValueError(f'backend must be one of {BACKENDS}, got {backend!r}')
        self.back_faces = back_faces
        self.silhouette = None if silhouette is None else SoftSilhouette(**silhouette)
        self.backend = backend

    def extra_repr(self) -> str:
        return (
            f'near={self.near:g}, far={self.far:g}, back_faces={self.back_faces}, '
            f'silhouette={self.silhouette}'
        )

    def forward(
        self, geometry: Meshes, cameras: Cameras, features: Tensor | None = None
    ) -> RenderOutput:
        """Render meshes into every camera.

        Args:
            geometry: B meshes.
            cameras: of batch B or 1; moved to the device of the meshes.
            features: (B, P, C) of the vertices or (B, F, 3, C) of the corners of the faces (such
                as texture coordinates), or None.

        Returns:
            Maps of shape (B, V, H, W), see :class:`RenderOutput`.

        Raises:
            ValueError: for something else than meshes, or features of a wrong shape.
        """
        if not isinstance(geometry, Meshes):
            raise ValueError(f'MeshRenderer draws Meshes, got {type(geometry).__name__}')
        vertices, faces = geometry.vertices, geometry.faces
        dtype = at_least_float32(vertices.dtype)
        table, rows = feature_table(features, vertices, faces, dtype)
        batch = len(geometry)
        cameras = cameras.to(vertices.device, torch.float64).expand(batch)
        views, size = cameras.num_views, cameras.image_size
        perspective = cameras.projection == 'perspective'
        points = _project(vertices.double(), cameras).flatten(0, 1)
        facing = self._facing(cameras).flatten()
        backend = self._backend(vertices.device)
        find, interpolate = _functions(backend)
        between = (perspective, self.near, self.far, facing)
        index = find(points, faces, size, *between)
        if not bool((index >= 0).any()):
            self._warn_if_out_of_range(points, faces)
        depth, bary, rendered = interpolate(points, faces, index, perspective, table, rows, dtype)
        if self.silhouette is None:
            mask = (index >= 0).to(dtype)
        else:
            mask = self.silhouette(points, faces, index, *between, backend).to(dtype)
        depth, mask, index, rendered, bary = (
            m.unflatten(0, (batch, views)) for m in (depth, mask, index, rendered, bary)
        )
        return RenderOutput(depth, mask, index, None if features is None else rendered, bary)

    def _backend(self, device: torch.device) -> str:
        if self.backend == 'auto':
            return 'numba' if device.type == 'cpu' else 'torch'
        if self.backend == 'numba' and device.type != 'cpu':
            raise ValueError(f"backend 'numba' needs CPU tensors, got {device}; use 'auto'")
        return self.backend

    def _facing(self, cameras: Cameras) -> Tensor:
        """(B, V): sign of the determinant of faces that are drawn, 0 for both."""
        if self.back_faces:
            return cameras.intrinsics.new_zeros(cameras.intrinsics.shape[:2])
        # seen from the front, the corners run clockwise about z, as y points down; a camera that
        # mirrors turns that round
        intrinsics, rotation = cameras.intrinsics, cameras.extrinsics[..., :3, :3]
        volume = (
            torch.cross(rotation[..., 0, :], rotation[..., 1, :], dim=-1) * rotation[..., 2, :]
        ).sum(-1)
        area = (
            intrinsics[..., 0, 0] * intrinsics[..., 1, 1]
            - intrinsics[..., 0, 1] * intrinsics[..., 1, 0]
        )
        return -(volume.sign() * area.sign()).detach()

    def _warn_if_out_of_range(self, points: Tensor, faces: Tensor) -> None:
        batch, views = len(faces), len(points) // len(faces)
        real = (faces >= 0).flatten(1)
        if not bool(real.any()):
            warnings.warn('the meshes have no faces: all pictures are empty', stacklevel=3)
            return
        corner = faces.clamp(min=0).reshape(batch, 1, -1).expand(-1, views, -1)
        z = points[..., 2].detach().unflatten(0, (batch, views)).gather(2, corner)
        z = z[real[:, None].expand(-1, views, -1)]
        low, high = z.min().item(), z.max().item()
        if high < self.near or low > self.far:
            warnings.warn(
                f'no face lies between near={self.near:g} and far={self.far:g} of any camera '
                f'(depths from {low:.4g} to {high:.4g}): all pictures are empty',
                stacklevel=3,
            )


def _functions(backend: str) -> tuple[Callable, Callable]:
    """What finds the faces, and what interpolates on them."""
    if backend == 'torch':
        return mesh_torch.find_faces, mesh_torch.interpolate_torch
    if backend == 'naive':
        from .mesh_naive import find_faces_naive, interpolate_naive

        return find_faces_naive, interpolate_naive
    from .mesh_cpu import find_faces, interpolate_cpu  # numba takes a moment to import

    return find_faces, interpolate_cpu


def _project(vertices: Tensor, cameras: Cameras) -> Tensor:
    """(B, V, P, 3) ``(w u, w v, z)``; w is z for perspective, 1 for orthographic cameras.

    Not divided by w: that works for vertices behind the camera too.
    """
    x, y, z = cameras.world_to_camera(vertices).unbind(-1)
    k = cameras.intrinsics[:, :, None]
    offset = z if cameras.projection == 'perspective' else torch.ones_like(z)
    u, v = (k[..., i, 0] * x + k[..., i, 1] * y + k[..., i, 2] * offset for i in range(2))
    return torch.stack([u, v, z], -1)


def feature_table(
    features: Tensor | None, vertices: Tensor, faces: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Features as a table (B, R, C), and its rows (B, F, 3) at the corners of the faces.

    Args:
        features: (B, P, C) of vertices, (B, F, 3, C) of corners, or None for C = 0.
        vertices: (B, P, 3).
        faces: int64 (B, F, 3).
        dtype: of the table.

    Raises:
        ValueError: for features of a wrong shape.
    """
    batch, num_faces = faces.shape[:2]
    if features is None:
        return vertices.new_zeros(batch, vertices.shape[1], 0, dtype=dtype), faces
    if features.dim() == 3 and features.shape[:2] == vertices.shape[:2]:
        return features.to(dtype), faces
    if features.dim() == 4 and tuple(features.shape[:3]) == (batch, num_faces, 3):
        rows = torch.arange(3 * num_faces, device=faces.device).reshape(num_faces, 3)
        return features.to(dtype).flatten(1, 2), rows.expand(batch, -1, -1)
    raise ValueError(
        f'features must be (B, P, C) or (B, F, 3, C) with B, P, F = {batch}, '
        f'{vertices.shape[1]}, {num_faces}, got {tuple(features.shape)}'
    )
