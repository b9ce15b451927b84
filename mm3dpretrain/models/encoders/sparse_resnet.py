"""OpenShape's sparse convolutional encoder (MinkResNet34), on spconv."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain.compat import require
from mm3dpretrain.registry import MODELS

from .point_patch_embed import check_points

#: voxels of the coarsest grid in voxels of the input: four stages and two convolutions halve it
STRIDE = 64


def _norm(channels: int, activation: nn.Module | None = None) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm1d(channels), activation or nn.ReLU(inplace=True)


class _Block(nn.Module):
    """Two submanifold convolutions and a shortcut (the basic block of ResNet)."""

    def __init__(self, in_channels: int, channels: int, key: str) -> None:
        super().__init__()
        spconv = require('spconv.pytorch', 'sparse', 'SparseResNetEncoder')
        options = dict(bias=False, indice_key=key)
        self.conv1 = spconv.SubMConv3d(in_channels, channels, 3, **options)
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = spconv.SubMConv3d(channels, channels, 3, **options)
        self.norm2 = nn.BatchNorm1d(channels)
        self.shortcut = nn.Identity()
        if in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Linear(in_channels, channels, bias=False), nn.BatchNorm1d(channels)
            )

    def forward(self, x):
        """Sparse tensor to sparse tensor of the same voxels."""
        out = self.conv1(x)
        out = self.conv2(out.replace_feature(self.norm1(out.features).relu()))
        return out.replace_feature((self.norm2(out.features) + self.shortcut(x.features)).relu())


@MODELS.register_module()
class SparseResNetEncoder(BaseModule):
    """Sparse ResNet whose four stages meet at full resolution, then a global feature.

    The form is that of OpenShape's ``MinkResNet34``: a convolution of width 5; four times a
    convolution of width and stride 2 and a stage of residual blocks; the stages' features of every
    voxel's ancestors, concatenated; two convolutions of stride 2; the mean and the maximum over all
    voxels; two linear layers. spconv replaces MinkowskiEngine; its strided convolutions of width 3
    also fill cells that are empty themselves but touch others.

    Args:
        in_channels: channels per point, coordinates first; all of them are features.
        voxel_size: edge of a voxel in the unit of the points (OpenShape: 0.02 of the unit sphere).
        stem_channels: width of the first convolution.
        stage_channels: widths of the four stages.
        num_blocks: residual blocks of the four stages (34 layers: 3, 4, 6, 3).
        hidden_channels: width of the voxels' features before they are pooled.
        out_channels: width of the global feature.
        dropout: between the linear layers.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ImportError: if spconv is not installed.
        ValueError: for a voxel size that is not positive, or not four stages.
    """

    def __init__(
        self,
        in_channels: int = 6,
        voxel_size: float = 0.02,
        stem_channels: int = 32,
        stage_channels: Sequence[int] = (32, 64, 128, 256),
        num_blocks: Sequence[int] = (3, 4, 6, 3),
        hidden_channels: int = 1024,
        out_channels: int = 1024,
        dropout: float = 0.5,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not voxel_size > 0:
            raise ValueError(f'voxel_size must be positive, got {voxel_size}')
        if len(stage_channels) != 4 or len(num_blocks) != 4:
            raise ValueError(
                f'there are four stages, got stage_channels={tuple(stage_channels)} and '
                f'num_blocks={tuple(num_blocks)}'
            )
        spconv = require('spconv.pytorch', 'sparse', 'SparseResNetEncoder')
        self.in_channels = in_channels
        self.voxel_size = voxel_size
        self.embed_dim = sum(stage_channels)
        self.out_channels = out_channels
        self.stem = spconv.SparseSequential(
            spconv.SubMConv3d(in_channels, stem_channels, 5, bias=False, indice_key='stem'),
            *_norm(stem_channels),
        )
        self.downs, self.stages = nn.ModuleList(), nn.ModuleList()
        width = stem_channels
        for level, (wider, blocks) in enumerate(zip(stage_channels, num_blocks)):
            self.downs.append(
                spconv.SparseSequential(
                    spconv.SparseConv3d(width, width, 2, 2, bias=False), *_norm(width)
                )
            )
            widths = [width] + [wider] * blocks
            self.stages.append(
                nn.Sequential(*(_Block(a, b, f'stage{level}') for a, b in zip(widths, widths[1:])))
            )
            width = wider
        half = hidden_channels // 2
        self.head = spconv.SparseSequential(
            spconv.SparseConv3d(self.embed_dim, half, 3, 2, 1, bias=False),
            *_norm(half, nn.LeakyReLU(0.01)),
            spconv.SparseConv3d(half, hidden_channels, 3, 2, 1, bias=False),
            *_norm(hidden_channels, nn.LeakyReLU(0.01)),
        )
        self.mlp = nn.Sequential(
            nn.Linear(2 * hidden_channels, out_channels, bias=False),
            *_norm(out_channels, nn.LeakyReLU(0.01)),
            nn.Dropout(dropout),
            nn.Linear(out_channels, out_channels, bias=False),
            *_norm(out_channels, nn.LeakyReLU(0.01)),
        )
        for module in self.modules():
            if isinstance(module, (spconv.SubMConv3d, spconv.SparseConv3d)):
                # MinkowskiEngine's way: the fan of the outputs is their width times the volume
                fan = module.out_channels * module.weight[0, ..., 0].numel()
                nn.init.normal_(module.weight, std=(2 / fan) ** 0.5)

    def forward(self, points: Tensor) -> dict[str, Tensor]:
        """Encode clouds.

        Args:
            points: (B, N, in_channels) in the unit of ``voxel_size``; while training B is at
                least 2, for the batch norm of the global feature.

        Returns:
            ``global`` (B, out_channels); ``local`` (B, N, embed_dim), every point the features of
            the voxels of all stages which it lies in; ``xyz`` (B, N, 3).

        Raises:
            ValueError: for another shape or values that are not finite.
        """
        check_points(points, self.in_channels, 1)
        import spconv.pytorch as spconv

        batch, number = points.shape[:2]
        features, cells, owner = self._voxels(points)
        # whole cells of the coarsest grid: spconv drops what lies in a part of one
        size = ((cells[:, 1:].amax(0) // STRIDE + 1) * STRIDE).tolist()
        tensor = self.stem(spconv.SparseConvTensor(features, cells.int(), size, batch))
        levels = []
        for level, (down, stage) in enumerate(zip(self.downs, self.stages)):
            tensor = stage(down(tensor))
            rows = _rows_of(cells, tensor.indices, 2 ** (level + 1))
            levels.append(tensor.features[rows])
        joined = torch.cat(levels, dim=1)
        tensor = self.head(spconv.SparseConvTensor(joined, cells.int(), size, batch))
        return {
            'global': self.mlp(_pool(tensor.features, tensor.indices[:, 0].long(), batch)),
            'local': joined[owner].view(batch, number, -1),
            'xyz': points[..., :3],
        }

    def _voxels(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean features and cells int64 (V, 4) of the voxels, batch first; the row of every point.

        The grid is that of the points' frame: it does not move with a cloud's extent or its
        neighbours in the batch.
        """
        batch, number, channels = points.shape
        cell = torch.floor(points[..., :3].float() / self.voxel_size).long()
        # spconv counts from 0; whole cells of the coarsest grid leave all grids in their places
        cell = cell - cell.amin(dim=(0, 1)).div(STRIDE, rounding_mode='floor') * STRIDE
        sample = torch.arange(batch, device=points.device)[:, None, None].expand(-1, number, 1)
        key = torch.cat([sample, cell], dim=-1).flatten(0, 1)
        cells, owner, count = key.unique(dim=0, return_inverse=True, return_counts=True)
        total = points.new_zeros(len(cells), channels).index_add(0, owner, points.flatten(0, 1))
        return total / count[:, None].to(points.dtype), cells, owner


def _rows_of(cells: Tensor, coarse: Tensor, stride: int) -> Tensor:
    """Rows (V,) of the cells ``coarse`` (U, 4), batch first, that hold those of a finer grid.

    Args:
        cells: int64 (V, 4), batch first.
        coarse: cells ``stride`` times as long; each of ``cells`` lies in one of them.
        stride: see there.
    """
    cells = torch.cat([cells[:, :1], cells[:, 1:] // stride], dim=1)
    size = cells.amax(0) + 1

    def key(c: Tensor) -> Tensor:
        return ((c[:, 0] * size[1] + c[:, 1]) * size[2] + c[:, 2]) * size[3] + c[:, 3]

    keys, order = key(coarse.long()).sort()
    return order[torch.searchsorted(keys, key(cells))]


def _pool(features: Tensor, sample: Tensor, batch: int) -> Tensor:
    """[maximum, mean] over the voxels of every sample: (V, C), (V,) to (B, 2 C)."""
    index = sample[:, None].expand_as(features)
    empty = features.new_zeros(batch, features.shape[1])
    highest = empty.scatter_reduce(0, index, features, 'amax', include_self=False)
    mean = empty.scatter_reduce(0, index, features, 'mean', include_self=False)
    return torch.cat([highest, mean], dim=1)
