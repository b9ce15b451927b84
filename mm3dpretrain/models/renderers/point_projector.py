"""Which point is seen at which pixel, and features carried from pixels to points and back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mm3dpretrain.registry import TASK_UTILS
from mm3dpretrain.structures import Cameras
from mm3dpretrain.structures.precision import at_least_float32, full_precision


@TASK_UTILS.register_module()
class PointProjector:
    """Links the points of a scene with the pixels of its views.

    Pixel positions are those of :class:`~mm3dpretrain.structures.Cameras`: (u, v) from (0, 0) at
    the outer corner of the first pixel to (W, H), pixel centres at (j + 0.5, i + 0.5). A map of
    another resolution (h, w) covers the same picture: u there is ``u w / W``.

    Everything is differentiable where that has a meaning: :meth:`visible` in its positions and
    depths, :meth:`sample` in map and positions, :meth:`scatter` in the features. Nothing depends
    on other samples of the batch. Projection (a) of MVNet is :meth:`visible`, :meth:`pixel_index`
    and :meth:`scatter`; SimIPU's ``point_sample`` is :meth:`sample` with ``align_corners=True``
    and ``padding='zeros'``.

    Args:
        tolerance: a point is hidden if its depth differs from that of the depth image by this or
            more; scene units, or a share of the image's depth if ``relative``. MVNet's own value
            is unknown; 0.05 m suits ScanNet.
        relative: whether the tolerance grows with the depth.
        align_corners: how :meth:`sample` places a map below the picture. False: cells are
            rectangles of W / w x H / h pixels, and a value belongs to the centre of its cell.
            True: position u is column ``u (w - 1) / W`` of the map, so that 0 is the centre of
            the first and W that of the last column. That is mmdet3d's and SimIPU's rule; it is
            up to half a cell off at the borders.
        padding: what :meth:`sample` finds outside of the map: 'border', the nearest value of the
            map, or 'zeros'.

    Raises:
        ValueError: for impossible settings.
    """

    def __init__(
        self,
        tolerance: float = 0.05,
        relative: bool = False,
        align_corners: bool = False,
        padding: str = 'border',
    ) -> None:
        if not 0 < tolerance < float('inf'):
            raise ValueError(f'tolerance must be positive, got {tolerance}')
        if padding not in ('border', 'zeros'):
            raise ValueError(f"padding must be 'border' or 'zeros', got {padding!r}")
        self.tolerance = float(tolerance)
        self.relative = relative
        self.align_corners = align_corners
        self.padding = padding

    def visible(
        self,
        points: Tensor,
        cameras: Cameras,
        depth: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Project points and tell which are seen.

        Args:
            points: (B, N, 3) in the world frame; those that are not finite are not visible.
            cameras: of batch B or 1.
            depth: (B, V, h, w) along z in scene units, 0 where nothing was measured, of the same
                views at any resolution; each point looks at the one value below it. None: nothing
                is hidden behind anything.
            lengths: int64 (B,), number of real points of each sample; what follows is padding.

        Returns:
            ``uv`` (B, V, N, 2) in pixels of the cameras, ``z`` (B, V, N), in at least single
            precision, and bool (B, V, N):
            z > 0, inside the picture, and ``|z - depth(uv)|`` below the tolerance. Without a
            measured depth a point is not visible.

        Raises:
            ValueError: for wrong shapes.
        """
        if points.dim() != 3 or points.shape[-1] != 3:
            raise ValueError(f'points must be (B, N, 3), got {tuple(points.shape)}')
        batch, num = points.shape[:2]
        points = points.to(at_least_float32(points.dtype))
        cameras = cameras.to(points.device, points.dtype).expand(batch)
        uv, z = cameras.project(points)
        height, width = cameras.image_size
        with torch.no_grad():
            # no points in the camera plane itself: their position has no meaning
            seen = (z > 1e-6) & (uv >= 0).all(-1) & (uv[..., 0] < width) & (uv[..., 1] < height)
            if lengths is not None:
                if tuple(lengths.shape) != (batch,):
                    raise ValueError(f'lengths must be ({batch},), got {tuple(lengths.shape)}')
                real = torch.arange(num, device=z.device) < lengths.to(z.device)[:, None]
                seen &= real[:, None]
            if depth is not None:
                if depth.dim() != 4 or depth.shape[:2] != z.shape[:2]:
                    raise ValueError(
                        f'depth must be (B, V, h, w) with B, V = {tuple(z.shape[:2])}, '
                        f'got {tuple(depth.shape)}'
                    )
                pixel = _pixel(uv, cameras.image_size, depth.shape[-2:])
                measured = depth.to(z).flatten(2).gather(2, pixel)
                limit = self.tolerance * measured if self.relative else self.tolerance
                seen &= (measured > 0) & ((z - measured).abs() < limit)
        return uv, z, seen

    def pixel_index(
        self,
        uv: Tensor,
        z: Tensor,
        visible: Tensor,
        image_size: tuple[int, int],
        map_size: tuple[int, int] | None = None,
    ) -> Tensor:
        """The nearest visible point of every pixel, by a z-buffer of single pixels.

        Args:
            uv, z, visible: from :meth:`visible`.
            image_size: (H, W) of the cameras.
            map_size: (h, w) of the result; default that of the cameras. Point k falls on column
                ``floor(u w / W)``.

        Returns:
            int64 (B, V, h, w): index of the point in its sample, the lowest of equal depths, -1
            where there is none.
        """
        height, width = map_size or image_size
        batch, views, num = z.shape
        pictures = torch.arange(batch * views, device=z.device).view(batch, views, 1)
        pixel = _pixel(uv.detach(), image_size, (height, width)) + pictures * (height * width)
        visible = visible.flatten()
        pixel, z = pixel.flatten()[visible], z.detach().flatten()[visible]
        point = torch.arange(num, device=z.device).expand(batch, views, num).flatten()[visible]
        nearest = z.new_full((batch * views * height * width,), float('inf'))
        nearest = nearest.scatter_reduce(0, pixel, z, 'amin')
        first = z == nearest[pixel]
        index = torch.full(nearest.shape, num, device=z.device)
        index = index.scatter_reduce(0, pixel[first], point[first], 'amin')
        return torch.where(index < num, index, -1).view(batch, views, height, width)

    def sample(
        self,
        feature_map: Tensor,
        uv: Tensor,
        image_size: tuple[int, int],
        visible: Tensor | None = None,
    ) -> Tensor:
        """Features of a map at the positions of points, bilinearly interpolated.

        Args:
            feature_map: (B, V, C, h, w), of any resolution; it covers the whole picture.
            uv: (B, V, N, 2) in pixels of the picture.
            image_size: (H, W) of the picture, padding included if the map was made with it.
            visible: bool (B, V, N); the others get 0. Default all, also those outside.

        Returns:
            (B, V, N, C).

        Raises:
            ValueError: for wrong shapes.
        """
        if feature_map.dim() != 5 or feature_map.shape[:2] != uv.shape[:2]:
            raise ValueError(
                f'feature_map must be (B, V, C, h, w) with B, V = {tuple(uv.shape[:2])}, '
                f'got {tuple(feature_map.shape)}'
            )
        size = uv.new_tensor([image_size[1], image_size[0]])
        # far outside is as good as anywhere outside, and keeps the interpolation finite
        grid = (uv / size * 2 - 1).clamp(-1e3, 1e3)
        if visible is not None:
            grid = torch.where(visible[..., None], grid, torch.zeros_like(grid))
        # In half precision positions would be off by pixels, and torch reads beyond the map on the
        # CPU.
        dtype = at_least_float32(feature_map.dtype)
        sampled = F.grid_sample(
            feature_map.flatten(0, 1).to(dtype),
            grid.flatten(0, 1)[:, :, None].to(dtype),
            padding_mode=self.padding,
            align_corners=self.align_corners,
        )
        sampled = sampled.to(feature_map.dtype).squeeze(-1).mT.unflatten(0, uv.shape[:2])
        return sampled if visible is None else sampled * visible[..., None]

    def scatter(self, features: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """The reverse: features of points at the pixels where the points are seen.

        Args:
            features: (B, N, C).
            index: int64 (B, V, h, w) from :meth:`pixel_index`; any value below 0 is empty.

        Returns:
            (B, V, C, h, w), 0 where there is no point, and bool (B, V, h, w), where there is one.

        Raises:
            ValueError: for different batch sizes.
        """
        if features.dim() != 3 or len(features) != len(index):
            raise ValueError(
                f'features must be (B, N, C) with B = {len(index)}, got {tuple(features.shape)}'
            )
        batch, num, channels = features.shape
        # a row of zeros for the empty pixels: one look-up gives the map, nothing else of its size
        rows = torch.cat([features.flatten(0, 1), features.new_zeros(1, channels)])
        mask = index >= 0
        offset = num * torch.arange(batch, device=index.device).view(-1, 1, 1, 1)
        row = torch.where(mask, index + offset, batch * num)
        picture = rows.index_select(0, row.flatten()).view(*index.shape, channels)
        return picture.permute(0, 1, 4, 2, 3), mask

    def lift(self, depth: Tensor, cameras: Cameras) -> tuple[Tensor, Tensor]:
        """World positions of the pixels of depth images.

        Args:
            depth: (B, V, h, w) along z in scene units, 0 where nothing was measured, at any
                resolution.
            cameras: of batch B or 1.

        Returns:
            (B, V, h, w, 3) in the world frame, 0 where nothing was measured, in at least single
            precision, and bool (B, V, h, w), where something was.
        """
        depth = depth.to(at_least_float32(depth.dtype))
        cameras = cameras.to(depth.device, depth.dtype).expand(len(depth))
        with full_precision(depth.device):
            points = cameras.rescale(tuple(depth.shape[-2:])).unproject(depth)
        mask = depth > 0
        return torch.where(mask[..., None], points, torch.zeros_like(points)), mask


def _pixel(uv: Tensor, image_size: tuple[int, int], map_size: tuple[int, int]) -> Tensor:
    """Flat index (..., N) of the map's cell at each position; outside, that of the border."""
    height, width = map_size
    scale = uv.new_tensor([width / image_size[1], height / image_size[0]])
    last = uv.new_tensor([width - 1, height - 1])
    # clamped before the conversion, which has no meaning for huge numbers
    column, row = (uv * scale).nan_to_num(0.0).floor().clamp(min=0).minimum(last).long().unbind(-1)
    return row * width + column


def cameras_from_projection(matrix: Tensor, image_size: tuple[int, int]) -> Cameras:
    """Cameras of projection matrices, such as mmdet3d's ``lidar2img``.

    The left 3 x 3 block is split into an upper triangular K and a rotation R, with fy > 0, and
    fx < 0 if the picture is mirrored.

    Args:
        matrix: (B, V, 4, 4) or (B, V, 3, 4), ``(u z, v z, z) = P (X, 1)`` up to a
            positive factor.
        image_size: (H, W).

    Returns:
        Perspective cameras in the dtype of the matrix. Depths are in the unit of X whatever the
        scale of the matrix.

    Raises:
        ValueError: for another shape, or a matrix that is no perspective projection.
    """
    if matrix.dim() != 4 or tuple(matrix.shape[-2:]) not in ((3, 4), (4, 4)):
        raise ValueError(f'matrix must be (B, V, 3 or 4, 4), got {tuple(matrix.shape)}')
    full = matrix[..., :3, :].double()
    block = full[..., :3]
    scale = block[..., 2, :].norm(dim=-1)[..., None, None]
    singular = torch.linalg.det(block).abs() <= 1e-12 * block.abs().amax((-2, -1)).pow(3)
    if bool(singular.any()) or not bool(torch.isfinite(full).all()):
        sample, view = torch.nonzero(singular | ~full.isfinite().all(-1).all(-1))[0].tolist()
        raise ValueError(
            f'matrix of view {view} of sample {sample} is no perspective projection: '
            f'{matrix[sample, view].tolist()}'
        )
    full, block = full / scale, block / scale
    # QR of the reversed transpose is RQ of the block
    q, r = torch.linalg.qr(block.flip(-2).mT)
    intrinsics, rotation = r.mT.flip(-2).flip(-1), q.mT.flip(-2)
    sign = torch.diagonal(intrinsics, dim1=-2, dim2=-1).sign()
    intrinsics, rotation = intrinsics * sign[..., None, :], sign[..., None] * rotation
    # now all focal lengths are positive; a mirror goes from the rotation into fx
    mirror = torch.ones_like(sign)
    mirror[..., 0] = torch.linalg.det(rotation).sign()
    intrinsics, rotation = intrinsics * mirror[..., None, :], mirror[..., None] * rotation
    extrinsics = torch.eye(4, dtype=full.dtype, device=full.device).repeat(*full.shape[:2], 1, 1)
    extrinsics[..., :3, :3] = rotation
    extrinsics[..., :3, 3] = torch.linalg.solve(intrinsics, full[..., 3:]).squeeze(-1)
    return Cameras(extrinsics.to(matrix), intrinsics.to(matrix), image_size)


def transform_cameras(
    cameras: Cameras,
    scale: tuple[float, float] = (1.0, 1.0),
    crop: tuple[float, float] = (0.0, 0.0),
    flip: bool = False,
    image_size: tuple[int, int] | None = None,
    pad_size: tuple[int, int] | None = None,
) -> Cameras:
    """Cameras of pictures that were resized, cropped, mirrored and padded, in this order.

    Args:
        cameras: of the original pictures.
        scale: factors along u and v.
        crop: (u, v) of the crop's upper left corner, in pixels of the resized picture.
        flip: whether left and right were swapped, after the crop.
        image_size: (H, W) after resizing and cropping; default the resized size, rounded.
        pad_size: (H, W) after padding at the right and the bottom; default no padding.

    Returns:
        Cameras whose fx is negative if mirrored.

    Raises:
        ValueError: for a scale that is not positive, or padding that would cut.
    """
    if min(scale) <= 0:
        raise ValueError(f'scale must be positive, got {scale}')
    if image_size is None:
        image_size = tuple(round(s * f) for s, f in zip(cameras.image_size, scale[::-1]))
    pad_size = pad_size or image_size
    if pad_size[0] < image_size[0] or pad_size[1] < image_size[1]:
        raise ValueError(f'pad_size {pad_size} is smaller than image_size {image_size}')
    change = cameras.intrinsics.new_tensor(
        [[scale[0], 0, -crop[0]], [0, scale[1], -crop[1]], [0, 0, 1.0]]
    )
    with full_precision(cameras.device):
        if flip:
            mirror = [[-1.0, 0, image_size[1]], [0, 1, 0], [0, 0, 1]]
            change = cameras.intrinsics.new_tensor(mirror) @ change
        intrinsics = change @ cameras.intrinsics
    return Cameras(cameras.extrinsics, intrinsics, tuple(pad_size), cameras.projection)
