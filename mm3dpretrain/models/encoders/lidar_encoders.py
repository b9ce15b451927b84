"""LiDAR backbones of mmdet3d's detectors as encoders of a pre-training."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mm3dpretrain.ops import furthest_point_sample, gather_points
from mm3dpretrain.registry import MODELS

from .point_patch_embed import check_points

#: octaves of the height code; the finest has a wave of a quarter of the range's height
HEIGHT_OCTAVES = 4


@MODELS.register_module()
class LidarBEVEncoder(BaseModule):
    """What SECOND, PointPillars, CenterPoint and MVX-Net have below their heads.

    Holds mmdet3d's own modules under the names that the detectors give them, so that weights move
    without renaming: ``voxel_encoder``, ``middle_encoder``, ``backbone`` and ``neck``
    (``pts_voxel_encoder``, ... in detectors of the MVX kind, see
    :class:`~mm3dpretrain.models.utils.PretrainedParts`). Every part takes part in the features.

    The features of a point are the bird's-eye map at its place, sampled bilinearly (the map is
    taken to span ``point_cloud_range``; half-pixel convention), and a code of its height, because
    all points of a column share one place of the map: sine and cosine of
    pi 2^k (z - z_min) / (z_max - z_min), k = 0 to 3.

    Args:
        voxel_encoder: such as ``mmdet3d.HardSimpleVFE``, ``mmdet3d.DynamicVFE``,
            ``mmdet3d.PillarFeatureNet``.
        middle_encoder: such as ``mmdet3d.SparseEncoder``, ``mmdet3d.PointPillarsScatter``.
        backbone: such as ``mmdet3d.SECOND``.
        neck: such as ``mmdet3d.SECONDFPN``; its first map is sampled.
        voxel_layer: as in the detector's data preprocessor: ``voxel_size``, ``max_num_points``,
            ``max_voxels`` and ``point_cloud_range``.
        voxel_type: 'hard' (a voxel keeps ``max_num_points``), or 'dynamic' for the Dynamic
            encoders (``max_num_points=-1, max_voxels=(-1, -1)``).
        in_channels: columns of a point, coordinates included.
        num_keypoints: how many points are returned, chosen by furthest point sampling among those
            in range; default all, in the order in which they came.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for another voxel type, or one that does not fit ``max_num_points``.
        ImportError: if mmdet3d is not installed.
    """

    #: the parts that a detector takes; see :mod:`mm3dpretrain.apis.export`
    transfer_parts = ('voxel_encoder', 'middle_encoder', 'backbone', 'neck')

    def __init__(
        self,
        voxel_encoder: dict,
        middle_encoder: dict,
        backbone: dict,
        neck: dict,
        voxel_layer: dict,
        voxel_type: str = 'hard',
        in_channels: int = 4,
        num_keypoints: int | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        from mm3dpretrain.compat import require

        require('mmdet3d', 'mmdet3d', 'LidarBEVEncoder holds its modules')
        if voxel_type not in ('hard', 'dynamic'):
            raise ValueError(f"voxel_type must be 'hard' or 'dynamic', got {voxel_type!r}")
        if (voxel_type == 'dynamic') != (voxel_layer['max_num_points'] == -1):
            raise ValueError(
                f'voxel_type={voxel_type!r} with max_num_points={voxel_layer["max_num_points"]}: '
                "'dynamic' goes with -1, 'hard' with the number of points that a voxel keeps"
            )
        # mmdet3d writes into the lists of some configs
        parts = copy.deepcopy(dict(v=voxel_encoder, m=middle_encoder, b=backbone, n=neck))
        self.voxel_encoder = MODELS.build(parts['v'])
        self.middle_encoder = MODELS.build(parts['m'])
        self.backbone = MODELS.build(parts['b'])
        self.neck = MODELS.build(parts['n'])
        # the detector's own preprocessor cuts the voxels: no second rule that could differ
        self.voxelizer = MODELS.build(
            dict(
                type='mmdet3d.Det3DDataPreprocessor',
                voxel=True,
                voxel_type=voxel_type,
                voxel_layer=copy.deepcopy(dict(voxel_layer)),
            )
        )
        self.voxel_type = voxel_type
        self.point_cloud_range = tuple(float(v) for v in voxel_layer['point_cloud_range'])
        self.in_channels = in_channels
        self.num_keypoints = num_keypoints
        self.embed_dim = sum(self.neck.out_channels) + 2 * HEIGHT_OCTAVES
        self.out_channels = 2 * self.embed_dim

    def in_range(self, points: Tensor) -> Tensor:
        """(B, N) whether points (B, N, C) lie inside the range, its upper border excluded.

        Raises:
            ValueError: if a cloud has no point there.
        """
        low, high = points.new_tensor(self.point_cloud_range).view(2, 3)
        # rounding may put what lies just below the border into a cell behind the last one
        inside = ((points[..., :3] >= low) & (points[..., :3] < high - 1e-4)).all(-1)
        empty = (~inside.any(1)).nonzero().flatten().tolist()
        if empty:
            cloud = points[empty[0], :, :3]
            raise ValueError(
                f'cloud {empty[0]} of the batch has no point inside the point_cloud_range '
                f'{list(self.point_cloud_range)}: its points lie between '
                f'{[round(v, 2) for v in cloud.amin(0).tolist()]} and '
                f'{[round(v, 2) for v in cloud.amax(0).tolist()]}'
            )
        return inside

    def bev_map(self, points: Tensor) -> Tensor:
        """Bird's-eye map (B, C, H, W) of clouds (B, N, in_channels): H along y, W along x.

        Raises:
            ValueError: as :meth:`forward`.
        """
        check_points(points, self.in_channels, 1)
        return self._bev_map(points, self.in_range(points))

    def _bev_map(self, points: Tensor, inside: Tensor) -> Tensor:
        clouds = [cloud[kept].contiguous() for cloud, kept in zip(points, inside)]
        cells = self.voxelizer.voxelize(clouds, None)
        coors = cells['coors']
        if self.voxel_type == 'dynamic':
            features, coors = self.voxel_encoder(cells['voxels'], coors)
        else:
            features = self.voxel_encoder(cells['voxels'], cells['num_points'], coors)
        maps = self.middle_encoder(features, coors, len(points))
        return self.neck(self.backbone(maps))[0]

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels), LiDAR frame, metres. Points outside the range do not enter
                any voxel; without ``num_keypoints`` they are returned with a map feature of zero.

        Returns:
            ``xyz`` (B, M, 3), ``local`` (B, M, embed_dim) and ``global`` (B, 2 embed_dim) = [mean,
            maximum] of ``local``. If fewer than ``num_keypoints`` points are in range, some come
            more than once.

        Raises:
            ValueError: for another shape, values that are not finite, or a cloud without a point
                in range.
        """
        check_points(points, self.in_channels, 1)
        inside = self.in_range(points)
        maps = self._bev_map(points, inside)
        xyz = points[..., :3]
        if self.num_keypoints is not None:
            # points outside are replaced by one inside, which is never the furthest twice
            first = inside.int().argmax(1)
            stand_in = xyz[torch.arange(len(xyz), device=xyz.device), first][:, None]
            xyz = torch.where(inside[..., None], xyz, stand_in)
            chosen = furthest_point_sample(xyz.contiguous(), self.num_keypoints)
            xyz, inside = gather_points(xyz, chosen), torch.ones_like(chosen, dtype=torch.bool)
        sampled = self._sample(maps, xyz).masked_fill(~inside[..., None], 0.0)
        local = torch.cat([sampled, self._height_code(xyz)], dim=-1)
        pooled = torch.cat([local.mean(1), local.amax(1)], dim=-1)
        return {'global': pooled, 'local': local, 'xyz': xyz}

    def _sample(self, maps: Tensor, xyz: Tensor) -> Tensor:
        low, high = xyz.new_tensor(self.point_cloud_range).view(2, 3)[:, :2]
        place = 2 * (xyz[..., :2] - low) / (high - low) - 1
        sampled = F.grid_sample(maps, place[:, :, None], padding_mode='border', align_corners=False)
        return sampled[..., 0].transpose(1, 2)

    def _height_code(self, xyz: Tensor) -> Tensor:
        low, high = self.point_cloud_range[2], self.point_cloud_range[5]
        octaves = 2.0 ** torch.arange(HEIGHT_OCTAVES, device=xyz.device, dtype=xyz.dtype)
        angle = math.pi * octaves * ((xyz[..., 2:3] - low) / (high - low))
        return torch.cat([angle.sin(), angle.cos()], dim=-1)
