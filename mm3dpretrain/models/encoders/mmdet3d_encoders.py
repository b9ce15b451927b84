"""Backbones of mmdet3d as encoders of a pre-training: the detector loads what was trained."""

from __future__ import annotations

import copy

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.registry import MODELS

from .point_patch_embed import check_points


class _Mmdet3dEncoder(BaseModule):
    """Holds an unchanged backbone of mmdet3d as ``backbone``.

    Its weights lie below ``point_encoder.backbone.`` in a pre-training checkpoint and go into the
    detector with that prefix; ``export_backbone`` takes the inner backbone out by itself.
    """

    #: the part that another network takes
    transfer_part = 'backbone'

    def __init__(self, backbone: dict, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        # mmdet3d imports every operator of mmcv: only where it is asked for
        from mm3dpretrain.compat import require

        require('mmdet3d', 'mmdet3d', f'{backbone.get("type")} is one of its backbones')
        # some backbones write into the lists of their config
        self.backbone = MODELS.build(copy.deepcopy(dict(backbone)))

    @staticmethod
    def _pool(local: Tensor) -> Tensor:
        """[mean, maximum] over the points: (B, G, C) to (B, 2 C)."""
        return torch.cat([local.mean(dim=1), local.amax(dim=1)], dim=-1)


@MODELS.register_module()
class PointNet2Encoder(_Mmdet3dEncoder):
    """mmdet3d's PointNet++ (``mmdet3d.PointNet2SASSG``, ``mmdet3d.PointNet2SAMSG``).

    Args:
        backbone: its config; ``in_channels`` counts coordinates too. With
            ``sa_cfg=dict(use_xyz=False, ...)`` the coordinates only say which points are
            neighbours, and the features begin with the other channels, such as the reflectance.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for ``use_xyz=False`` without other channels: nothing would be left to encode.
    """

    def __init__(self, backbone: dict, init_cfg: dict | list[dict] | None = None) -> None:
        if backbone['in_channels'] <= 3 and not backbone.get('sa_cfg', {}).get('use_xyz', True):
            raise ValueError(
                f'in_channels={backbone["in_channels"]} with use_xyz=False leaves no feature: give '
                'points with reflectance (in_channels=4) or set use_xyz=True in sa_cfg'
            )
        super().__init__(backbone, init_cfg)
        self.in_channels = backbone['in_channels']
        self.embed_dim = _pointnet2_width(self.backbone)
        self.out_channels = 2 * self.embed_dim

    def backbone_inputs(self, points: Tensor) -> tuple[Tensor]:
        """What ``backbone`` takes for clouds (B, N, in_channels)."""
        return (points,)

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels) in the unit that the radii of the backbone are given in.

        Returns:
            ``local`` (B, G, embed_dim) of the finest level with features, ``xyz`` (B, G, 3) of
            those points and ``global`` (B, 2 embed_dim) = [mean, maximum] of ``local``.

        Raises:
            ValueError: for another shape or values that are not finite.
        """
        check_points(points, self.in_channels, 1)
        levels = self.backbone(*self.backbone_inputs(points))
        if levels.get('fp_features'):
            features, xyz = levels['fp_features'][-1], levels['fp_xyz'][-1]
        else:
            features, xyz = levels['sa_features'][-1], levels['sa_xyz'][-1]
        local = features.transpose(1, 2)
        return {'global': self._pool(local), 'local': local, 'xyz': xyz}


def _pointnet2_width(backbone: nn.Module) -> int:
    """Channels of the features that :class:`PointNet2Encoder` returns."""
    last = getattr(backbone, 'FP_modules', None) or getattr(backbone, 'aggregation_mlps', None)
    if last and last[-1] is not None:
        return _last_width(last[-1])
    # the scales of a multi-scale module, one after another
    return sum(_last_width(scale) for scale in backbone.SA_modules[-1].mlps)


def _last_width(module: nn.Module) -> int:
    convolutions = [m for m in module.modules() if isinstance(m, (nn.Conv1d, nn.Conv2d))]
    return convolutions[-1].out_channels


@MODELS.register_module()
class SparseUNetEncoder(_Mmdet3dEncoder):
    """mmdet3d's MinkUNet on spconv over the voxels of a cloud (Choy et al., CVPR 2019).

    Args:
        voxel_size: edge of a voxel in the unit of the points (PointContrast: 0.025 m indoors).
        backbone: default ``dict(type='mmdet3d.MinkUNetBackbone', sparseconv_backend='spconv')``;
            ``in_channels`` counts the coordinates of the points too.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for a voxel size that is not positive.
    """

    def __init__(
        self, voxel_size: float, backbone: dict, init_cfg: dict | list[dict] | None = None
    ) -> None:
        if not voxel_size > 0:
            raise ValueError(f'voxel_size must be positive, got {voxel_size}')
        backbone = {'sparseconv_backend': 'spconv', **backbone}
        super().__init__(backbone, init_cfg)
        self.voxel_size = voxel_size
        self.min_cells = 2 ** backbone.get('num_stages', 4)
        self.in_channels = backbone.get('in_channels', 4)
        self.embed_dim = backbone.get('decoder_channels', [256, 128, 96, 96])[-1]
        self.out_channels = 2 * self.embed_dim

    def backbone_inputs(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Voxels of clouds: features (V, in_channels) and coordinates int32 (V, 4), batch first."""
        return self._voxels(points)[:2]

    def _voxels(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean features and coordinates of the voxels, and the voxel of every point (B N,)."""
        batch, num, channels = points.shape
        xyz = points[..., :3]
        cell = torch.floor((xyz - xyz.amin(dim=1, keepdim=True)) / self.voxel_size).long()
        # every stage halves the grid, and spconv refuses one without cells: flat clouds move up
        cell = cell + (self.min_cells - 1 - cell.amax(dim=(0, 1))).clamp(min=0)
        sample = torch.arange(batch, device=points.device)[:, None, None].expand(-1, num, 1)
        key = torch.cat([sample, cell], dim=-1).flatten(0, 1)
        coors, owner, count = key.unique(dim=0, return_inverse=True, return_counts=True)
        total = points.new_zeros(len(coors), channels)
        total = total.index_add(0, owner, points.flatten(0, 1))
        return total / count[:, None].to(points.dtype), coors.int(), owner

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels), the unit that of ``voxel_size``.

        Returns:
            ``local`` (B, N, embed_dim), every point the features of its voxel, ``xyz`` (B, N, 3)
            and ``global`` (B, 2 embed_dim) = [mean, maximum] of ``local``.

        Raises:
            ValueError: for another shape or values that are not finite.
        """
        check_points(points, self.in_channels, 1)
        features, coors, owner = self._voxels(points)
        local = self.backbone(features, coors)[owner].unflatten(0, points.shape[:2])
        return {'global': self._pool(local), 'local': local, 'xyz': points[..., :3]}
