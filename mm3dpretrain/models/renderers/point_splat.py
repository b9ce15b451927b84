"""Differentiable splatting of point clouds with a z-test."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from mm3dpretrain.registry import RENDERERS
from mm3dpretrain.structures import Cameras
from mm3dpretrain.structures.precision import at_least_float32, full_precision

from .base import BaseRenderer, RenderOutput
from .p2i import find_winners, p2i_max
from .splat_naive import splat_naive
from .splat_torch import resolve_backend, splat_torch, winner_weight

KERNELS = ('cosine', 'quadratic', 'gaussian', 'disc')
COMPOSITING = ('soft', 'max')
BACKENDS = ('auto', 'numba', 'torch', 'naive')


@RENDERERS.register_module()
class PointSplatRenderer(BaseRenderer):
    """Draws every point as a soft ellipse.

    For a pixel with centre (j + 0.5, i + 0.5), point k at (u_k, v_k) with depth z_k covers the
    pixel if ``q_k = ((j + 0.5 - u_k) / r_u)^2 + ((i + 0.5 - v_k) / r_v)^2 < 1``, with the weight

    - cosine: ``w = 0.5 + 0.5 cos(pi sqrt(q))`` (the kernel of SpareNet's renderer),
    - quadratic: ``w = 1 - q``,
    - gaussian: ``w = (exp(-4.5 q) - exp(-4.5)) / (1 - exp(-4.5))``: a Gaussian whose sigma is a
      third of the radius, cut off there. It is shifted down by the 1 % that is left at the cut
      and scaled back to 1 in the centre, so that no picture jumps when a point moves.
    - disc: ``w = 1``.

    **Soft compositing**, the default: the front-most points win. With f the nearest point that
    covers the pixel (the lowest index of equals):

    - z-test: ``a_k = w_k max(0, 1 - (z_k - z_f) / depth_tolerance)``. Only the points of the
      surface in front count. The factor fades out linearly, so that nothing jumps when a point
      passes the tolerance. With ``depth_tolerance=0``, ``a_f = w_f`` and all others are 0.
    - ``depth = sum_k b_k z_k / sum_k b_k`` with ``b_k = a_k + 0.01 [k = f]``, features likewise.
      The small constant keeps the quotient smooth where all weights vanish, at the rim.
    - ``mask = min(1, sum_k w_k)`` over *all* points that cover the pixel: a silhouette is made of
      everything.
    - ``index = f``.

    So depth is a metric depth right up to the silhouette, and the mask fades out there. Gradients
    are exact: x and y through w, z through depth and the z-test. Points hidden behind the surface
    in front get exactly zero gradient from depth and features, and from the mask wherever it has
    reached 1. Nothing depends on other samples of the batch or on the order of the points (except
    the index, and 1 % of the feature blend, between points of exactly equal depth). Gradients
    reach the cameras too.

    **Maximum compositing**: what is near or central wins, without a test of depth, as in SpareNet's
    renderer (:func:`~mm3dpretrain.models.renderers.p2i.p2i_max`). With the nearness
    ``n_k = (far - z_k) / (far - near)``:

    - ``index = argmax_k w_k n_k``, the lowest of equals, -1 where no product is above 0.
    - ``depth`` and ``mask`` are z and w of that point alone, so ``depth_image`` is
      ``max_k w_k n_k``. Only that point gets a gradient.
    - ``features[c] = max(0, max_k w_k features_k[c])``, where each channel has its own winner.

    Points are culled outside [near, far] along z, thus also behind the camera. Points just outside
    of the picture still reach into it. Computation is in at least float32, also under autocast.

    Args:
        radius: of the footprint, in ``radius_unit``. Below about 0.71 pixels a point can fall
            between the pixel centres and vanish.
        radius_unit: 'pixel', or 'metre' for scene units: then ``r_u = fx radius / z``
            (orthographic: ``fx radius``), and fy for ``r_v``.
        kernel: 'cosine', 'quadratic', 'gaussian' or 'disc'. 'disc' with ``depth_tolerance=0`` is a
            plain z-buffer, without gradients to x and y.
        depth_tolerance: soft compositing only: thickness of the surface in front, in scene units,
            >= 0. Default 0.05.
        near, far: culling planes along z, scene units. The defaults suit a unit sphere seen
            from 1.5 to 2.5 units away, such as from the corners of a cube.
        backend: 'torch' runs on any device, 'numba' only on the CPU, with the same result; 'auto'
            takes numba on the CPU and torch elsewhere. 'naive' is the definition in plain loops,
            for tests and benchmarks.
        compositing: 'soft' or 'max'.

    Raises:
        ValueError: for impossible settings.
    """

    def __init__(
        self,
        radius: float = 3.0,
        radius_unit: str = 'pixel',
        kernel: str = 'cosine',
        depth_tolerance: float | None = None,
        near: float = 0.5,
        far: float = 3.5,
        backend: str = 'auto',
        compositing: str = 'soft',
    ) -> None:
        super().__init__(near, far)
        if not 0 < radius < float('inf'):
            raise ValueError(f'radius must be positive, got {radius}')
        if radius_unit not in ('pixel', 'metre'):
            raise ValueError(f"radius_unit must be 'pixel' or 'metre', got {radius_unit!r}")
        if kernel not in KERNELS:
            raise ValueError(f'kernel must be one of {KERNELS}, got {kernel!r}')
        if compositing not in COMPOSITING:
            raise ValueError(f'compositing must be one of {COMPOSITING}, got {compositing!r}')
        if compositing == 'max' and depth_tolerance is not None:
            raise ValueError(
                f"compositing='max' knows no depth_tolerance, got {depth_tolerance}: leave it out"
            )
        depth_tolerance = 0.05 if depth_tolerance is None else depth_tolerance
        if not 0 <= depth_tolerance < float('inf'):
            raise ValueError(f'depth_tolerance must be >= 0, got {depth_tolerance}')
        if backend not in BACKENDS:
            raise ValueError(f'backend must be one of {BACKENDS}, got {backend!r}')
        self.backend = backend
        self.radius = float(radius)
        self.radius_unit = radius_unit
        self.kernel = kernel
        self.compositing = compositing
        self.depth_tolerance = float(depth_tolerance)

    def extra_repr(self) -> str:
        compositing = self.compositing
        if compositing == 'soft':
            compositing += f' within {self.depth_tolerance:g}'
        return (
            f'radius={self.radius:g} {self.radius_unit}, kernel={self.kernel}, '
            f'compositing={compositing}, near={self.near:g}, far={self.far:g}'
        )

    def forward(
        self,
        geometry: Tensor,
        cameras: Cameras,
        features: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> RenderOutput:
        """Render clouds into every camera.

        Args:
            geometry: (B, N, 3) points in the world frame.
            cameras: of batch B or 1; moved to the device and dtype of the points.
            features: (B, N, C) of the points, or None.
            lengths: int64 (B,), number of real points of each cloud; what follows them is
                padding, whatever its value. Default: all N.

        Returns:
            Maps of shape (B, V, H, W), see :class:`RenderOutput`.

        Raises:
            ValueError: for wrong shapes, or for points that are not finite.
        """
        points = geometry
        if points.dim() != 3 or points.shape[-1] != 3:
            raise ValueError(f'points must be (B, N, 3), got {tuple(points.shape)}')
        if features is not None and (features.dim() != 3 or features.shape[:2] != points.shape[:2]):
            raise ValueError(
                f'features must be (B, N, C) with B, N = {tuple(points.shape[:2])}, '
                f'got {tuple(features.shape)}'
            )
        with full_precision(points.device):
            points = points.to(at_least_float32(points.dtype))
            if features is not None:
                features = features.to(points.dtype)
            return self._render(points, cameras, features, self._real(points, lengths))

    def _real(self, points: Tensor, lengths: Tensor | None) -> Tensor:
        """Bool (B, N): not padding. Refuses real points that are not finite."""
        batch, num = points.shape[:2]
        if lengths is None:
            real = torch.ones(batch, num, dtype=torch.bool, device=points.device)
        else:
            if tuple(lengths.shape) != (batch,):
                raise ValueError(f'lengths must be ({batch},), got {tuple(lengths.shape)}')
            real = torch.arange(num, device=points.device) < lengths.to(points.device)[:, None]
        bad = ~torch.isfinite(points).all(-1) & real
        if bool(bad.any()):
            sample, point = torch.nonzero(bad)[0].tolist()
            raise ValueError(
                f'point {point} of sample {sample} is not finite: '
                f'{points[sample, point].tolist()} ({int(bad.sum())} such points)'
            )
        return real

    def _render(
        self, points: Tensor, cameras: Cameras, features: Tensor | None, real: Tensor
    ) -> RenderOutput:
        cameras = cameras.to(points.device, points.dtype).expand(len(points))
        points = torch.where(real[..., None], points, torch.zeros_like(points))
        uv, z = cameras.project(points)
        valid = (z >= self.near) & (z <= self.far) & real[:, None] & uv.isfinite().all(-1)
        if z.numel() and not bool(valid.any()):
            warnings.warn(
                f'no point lies between near={self.near:g} and far={self.far:g} of any camera '
                f'(depths from {z.min().item():.4g} to {z.max().item():.4g}): all pictures are '
                'empty',
                stacklevel=3,
            )
        # culled points take no part: give them harmless values, so that no gradient is NaN
        z = torch.where(valid, z, torch.ones_like(z))
        return self._compose(uv, z, valid, features, cameras)

    def _compose(
        self, uv: Tensor, z: Tensor, valid: Tensor, features: Tensor | None, cameras: Cameras
    ) -> RenderOutput:
        """Pictures of points (B, V, N) of which the valid ones take part."""
        splats = (uv, z, self._inverse_radius(cameras, z), valid)
        if self.compositing == 'soft':
            return self._soft(*splats, features, cameras.image_size)
        nearness = (self.far - z) / (self.far - self.near)
        return self._maximum(nearness, *splats, features, cameras.image_size)

    def _soft(self, uv, z, inv_radius, valid, features, size) -> RenderOutput:
        backend = resolve_backend(self.backend, z.device)
        if backend == 'numba':
            from .splat_cpu import splat_cpu as splat  # numba takes a moment to import
        else:
            splat = splat_torch if backend == 'torch' else splat_naive
        flat = [t.flatten(0, 1) for t in (uv, z, inv_radius, valid)]
        maps = splat(*flat, features, size, self.kernel, self.depth_tolerance)
        depth, mask, index, rendered = (
            None if m is None else m.unflatten(0, z.shape[:2]) for m in maps
        )
        return RenderOutput(depth=depth, mask=mask, index=index, features=rendered)

    def _maximum(self, nearness, uv, z, inv_radius, valid, features, size) -> RenderOutput:
        """The point with the largest product of weight and nearness (B, V, N) alone."""
        views, num = z.shape[1:]
        uv, inv_radius, valid, nearness = (
            t.flatten(0, 1) for t in (uv, inv_radius, valid, nearness)
        )
        empty = z.new_zeros(len(uv), 1, *size)
        _, winner = find_winners(
            uv, inv_radius, valid, nearness[..., None], empty, self.kernel, self.backend
        )
        index = winner[:, 0].long()
        flat = index.flatten()
        pixel = torch.nonzero(flat >= 0).squeeze(1)
        row = torch.div(pixel, size[0] * size[1], rounding_mode='floor') * num + flat[pixel]
        empty = empty.flatten()
        depth = empty.index_copy(0, pixel, z.reshape(-1)[row])
        weight = winner_weight(uv, inv_radius, index, pixel, self.kernel)
        mask = empty.index_copy(0, pixel, weight)
        shape = (-1, views, *size)
        depth, mask, index = (m.reshape(shape) for m in (depth, mask, index))
        rendered = None
        if features is not None:
            rendered, _ = p2i_max(
                uv, inv_radius, features, size, self.kernel, valid, backend=self.backend
            )
            rendered = rendered.unflatten(0, (-1, views))
        return RenderOutput(depth=depth, mask=mask, index=index, features=rendered)

    def _inverse_radius(self, cameras: Cameras, z: Tensor) -> Tensor:
        """1 / radius in pixels along u and v, (B, V, N, 2)."""
        if self.radius_unit == 'pixel':
            return z.new_full((1, 1, 1, 1), 1 / self.radius).expand(*z.shape, 2)
        focal = torch.diagonal(cameras.intrinsics, dim1=-2, dim2=-1)[..., None, :2].abs()
        if cameras.projection == 'perspective':
            return z[..., None] / (focal * self.radius)
        return (1 / (focal * self.radius)).expand(*z.shape, 2)
