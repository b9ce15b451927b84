"""Backbones of mmdet3d as encoders of a pre-training: the detector loads what was trained."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
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
    #: sub-modules of it that a transfer of the encoder alone leaves out
    decoder_parts: tuple[str, ...] = ()

    def __init__(self, backbone: dict, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg)
        # mmdet3d imports every operator of mmcv: only where it is asked for
        from mm3dpretrain.compat import require

        require('mmdet3d', 'mmdet3d', f'{backbone.get("type")} is one of its backbones')
        # MinkUNetBackbone is registered with MMEngine: 'mmdet3d.' finds it from other scopes only
        with DefaultScope.overwrite_default_scope('mm3dpretrain'):
            # some backbones write into the lists of their config
            self.backbone = MODELS.build(copy.deepcopy(dict(backbone)))

    def _choose_levels(self, out_levels: Sequence[int], widths: Sequence[int]) -> None:
        """Keep the levels that are asked for and their widths, coarse to fine.

        Raises:
            ValueError: for a level that there is not.
        """
        if any(not 0 <= level < len(widths) for level in out_levels):
            raise ValueError(
                f'out_levels must be in [0, {len(widths)}), 0 the coarsest, got {tuple(out_levels)}'
            )
        self.out_levels = tuple(sorted(set(out_levels)))
        self.level_channels = tuple(widths[level] for level in self.out_levels)

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
        out_levels: levels that ``forward`` returns as ``levels``; 0 is the coarsest set of points,
            n the outcome of the n-th feature propagation. Without feature propagation they are the
            levels in the backbone's ``out_indices``, coarse to fine. Their widths are in
            ``level_channels``.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for ``use_xyz=False`` without other channels (nothing would be left to encode),
            or a level that there is not.
    """

    decoder_parts = ('FP_modules',)

    def __init__(
        self,
        backbone: dict,
        out_levels: Sequence[int] = (),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if backbone['in_channels'] <= 3 and not backbone.get('sa_cfg', {}).get('use_xyz', True):
            raise ValueError(
                f'in_channels={backbone["in_channels"]} with use_xyz=False leaves no feature: give '
                'points with reflectance (in_channels=4) or set use_xyz=True in sa_cfg'
            )
        super().__init__(backbone, init_cfg)
        self.in_channels = backbone['in_channels']
        widths = _pointnet2_widths(self.backbone)
        self.embed_dim = widths[-1] if getattr(self.backbone, 'FP_modules', None) else widths[0]
        self.out_channels = 2 * self.embed_dim
        self._choose_levels(out_levels, widths)

    def backbone_inputs(self, points: Tensor) -> tuple[Tensor]:
        """What ``backbone`` takes for clouds (B, N, in_channels)."""
        return (points,)

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels) in the unit that the radii of the backbone are given in.

        Returns:
            ``local`` (B, G, embed_dim) of the last level with features, ``xyz`` (B, G, 3) of those
            points, ``global`` (B, 2 embed_dim) = [mean, maximum] of ``local``, and with
            ``out_levels`` a list ``levels`` of (xyz (B, M_l, 3), features (B, M_l, C_l)), coarse to
            fine.

        Raises:
            ValueError: for another shape or values that are not finite.
        """
        check_points(points, self.in_channels, 1)
        found = self.backbone(*self.backbone_inputs(points))
        if getattr(self.backbone, 'FP_modules', None):
            levels = list(zip(found['fp_xyz'], found['fp_features']))
            xyz, features = levels[-1]
        else:
            levels = list(zip(found['sa_xyz'], found['sa_features']))[::-1]
            xyz, features = levels[0]
        local = features.transpose(1, 2)
        outputs = {'global': self._pool(local), 'local': local, 'xyz': xyz}
        if self.out_levels:
            outputs['levels'] = [
                (levels[i][0], levels[i][1].transpose(1, 2)) for i in self.out_levels
            ]
        return outputs


def _pointnet2_widths(backbone: nn.Module) -> list[int]:
    """Channels of the levels with features of a PointNet++, coarse to fine."""
    # the scales of a multi-scale module, one after another
    widths = [sum(_last_width(scale) for scale in m.mlps) for m in backbone.SA_modules]
    for i, mlp in enumerate(getattr(backbone, 'aggregation_mlps', None) or ()):
        if mlp is not None:
            widths[i] = _last_width(mlp)
    if getattr(backbone, 'FP_modules', None):
        return widths[-1:] + [_last_width(module) for module in backbone.FP_modules]
    kept = getattr(backbone, 'out_indices', range(len(widths)))
    return [widths[i] for i in sorted(kept, reverse=True)]


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
        out_levels: levels that ``forward`` returns as ``levels``: 0 is the coarsest one, the end of
            the encoder (voxels ``2 ** num_stages`` times as long), n the end of the n-th stage of
            the decoder, the last of them at full resolution. Widths in ``level_channels``.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: for a voxel size that is not positive, or a level that there is not.
    """

    decoder_parts = ('decoder',)

    def __init__(
        self,
        voxel_size: float,
        backbone: dict,
        out_levels: Sequence[int] = (),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if not voxel_size > 0:
            raise ValueError(f'voxel_size must be positive, got {voxel_size}')
        backbone = {'sparseconv_backend': 'spconv', **backbone}
        super().__init__(backbone, init_cfg)
        self.voxel_size = voxel_size
        self.min_cells = 2 ** backbone.get('num_stages', 4)
        self.in_channels = backbone.get('in_channels', 4)
        decoder = backbone.get('decoder_channels', [256, 128, 96, 96])
        self.embed_dim = decoder[-1]
        self.out_channels = 2 * self.embed_dim
        coarsest = backbone.get('encoder_channels', [32, 64, 128, 256])[-1]
        self._choose_levels(out_levels, [coarsest, *decoder])

    def backbone_inputs(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Voxels of clouds: features (V, in_channels) and coordinates int32 (V, 4), batch first."""
        return self._voxels(points)[:2]

    def stride(self, level: int) -> int:
        """Edge of the voxels of a level in voxels of the input."""
        return self.min_cells >> level

    def _voxels(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean features and coordinates of the voxels, and the voxel of every point (B N,)."""
        batch, num, channels = points.shape
        xyz = points[..., :3]
        cell = torch.floor((xyz - xyz.amin(dim=1, keepdim=True)) / self.voxel_size).long()
        # every stage halves the grid, and spconv refuses one without cells: flat clouds move up
        cell = cell + (self.min_cells - 1 - cell.amax(dim=(0, 1))).clamp(min=0)
        if self.out_levels:
            # it also drops what lies beyond the last whole cell of a coarser grid: no point of a
            # cloud may be without features there
            cell = cell + (-1 - cell.amax(dim=(0, 1))) % self.min_cells
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
            and ``global`` (B, 2 embed_dim) = [mean, maximum] of ``local``. With ``out_levels`` also
            ``levels``, a list of (xyz (B, N, 3), features (B, N, C_l)), coarse to fine: every point
            the features of the voxel of that level which it lies in. All ``xyz`` are one tensor.

        Raises:
            ValueError: for another shape or values that are not finite.
        """
        check_points(points, self.in_channels, 1)
        features, coors, owner = self._voxels(points)
        xyz, shape = points[..., :3], points.shape[:2]
        with self._listening() as tensors:
            local = self.backbone(features, coors)[owner].unflatten(0, shape)
        outputs = {'global': self._pool(local), 'local': local, 'xyz': xyz}
        if self.out_levels:
            outputs['levels'] = [
                (xyz, tensor.features[place[owner]].unflatten(0, shape))
                for tensor, place in self._placed(coors, tensors)
            ]
        return outputs

    def _placed(self, coors: Tensor, tensors: list) -> Iterator[tuple]:
        """Each level's sparse tensor, and the row in it of every voxel (V,) of the input."""
        for level, tensor in zip(self.out_levels, tensors):
            yield tensor, _places(coors, tensor.indices, self.stride(level))

    @contextmanager
    def _listening(self) -> Iterator[list]:
        """Collect the sparse tensors of the levels during a forward pass of the backbone."""
        sources = [self.backbone.encoder[-1], *(stage[1] for stage in self.backbone.decoder)]
        tensors: list = []
        handles = [
            sources[level].register_forward_hook(lambda module, args, out: tensors.append(out))
            for level in self.out_levels
        ]
        try:
            yield tensors
        finally:
            for handle in handles:
                handle.remove()


def _places(cells: Tensor, coarse: Tensor, stride: int) -> Tensor:
    """Rows (V,) of ``coarse`` (U, 4), batch first, that hold ``cells`` (V, 4) of a finer grid."""
    cells = torch.cat([cells[:, :1], cells[:, 1:] // stride], dim=1).long()
    coarse = coarse.long()
    size = torch.maximum(cells.amax(0), coarse.amax(0)) + 1

    def key(c: Tensor) -> Tensor:
        return ((c[:, 0] * size[1] + c[:, 1]) * size[2] + c[:, 2]) * size[3] + c[:, 3]

    order = key(coarse).argsort()
    return order[torch.searchsorted(key(coarse)[order], key(cells))]
