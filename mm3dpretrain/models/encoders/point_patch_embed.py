"""Clouds into patches, and patches into tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain import ops
from mm3dpretrain.registry import MODELS


class Patches(NamedTuple):
    """G patches of K points for each of B clouds.

    Attributes:
        neighborhood: (B, G, K, C) coordinates relative to the centre of the patch, in the unit of
            the cloud, then the other channels unchanged.
        center: (B, G, 3) centres in the frame of the cloud.
        idx: (B, G, K) int64, which point of the cloud each entry is.
    """

    neighborhood: Tensor
    center: Tensor
    idx: Tensor


def check_points(points: Tensor, in_channels: int, min_points: int) -> None:
    """Refuse what no encoder can use.

    Args:
        points: the cloud that a user passed in; (B, N, C) is expected.
        in_channels: channels C that the encoder was built for.
        min_points: smallest N that can be grouped.

    Raises:
        ValueError: for another shape, too few points, or values that are not finite.
    """
    if points.dim() != 3 or points.shape[-1] != in_channels:
        raise ValueError(
            f'points must be (B, N, {in_channels}), got {tuple(points.shape)}: set in_channels of '
            'the encoder, or the channels that the pipeline loads, so that they agree'
        )
    if points.shape[1] < min_points:
        raise ValueError(
            f'clouds of {points.shape[1]} points cannot be grouped: at least {min_points} are '
            'needed (num_groups and group_size); sample more points or use smaller groups'
        )
    if not bool(torch.isfinite(points).all()):
        bad = (~torch.isfinite(points)).any(-1).sum(1).tolist()
        raise ValueError(f'points must be finite; clouds have {bad} points with NaN or Inf')


def group_points(points: Tensor, num_groups: int, group_size: int) -> Patches:
    """Group clouds around centres that are far apart (Point-BERT, Sec. 3.1).

    Centres come from furthest point sampling from the first point, the members of a patch are the
    nearest points of its centre, nearest first. Patches overlap.

    Args:
        points: (B, N, C >= 3), coordinates first.
        num_groups: G, number of patches.
        group_size: K, points per patch.

    Returns:
        The patches. Gradients reach ``points`` through neighborhood and centre.
    """
    xyz = points[..., :3].contiguous()
    center = ops.gather_points(xyz, ops.furthest_point_sample(xyz, num_groups))
    idx = ops.knn(center, xyz, group_size).idx
    neighborhood = ops.group_points(points, idx)
    relative = neighborhood[..., :3] - center[:, :, None]
    if points.shape[-1] > 3:
        relative = torch.cat([relative, neighborhood[..., 3:]], dim=-1)
    return Patches(relative, center, idx)


@MODELS.register_module()
class PointPatchEmbed(BaseModule):
    """Group a cloud and encode every patch with a small PointNet (Point-BERT, Sec. 3.1).

    Point-BERT: ``encoder_dim=256, embed_dim=384``. Point-MAE: ``encoder_dim=384, embed_dim=None``.

    Args:
        num_groups: patches per cloud.
        group_size: points per patch.
        in_channels: channels per point, coordinates first.
        encoder_dim: output channels of the PointNet.
        embed_dim: channels of the tokens, reached by a linear layer after the PointNet; None for
            no such layer.
        hidden_dims: widths of the PointNet: first layer, feature of a point before the first
            maximum, layer after it. Point-BERT's are the default; small models use less.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        num_groups: int = 64,
        group_size: int = 32,
        in_channels: int = 3,
        encoder_dim: int = 256,
        embed_dim: int | None = None,
        hidden_dims: tuple[int, int, int] = (128, 256, 512),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if in_channels < 3:
            raise ValueError(f'in_channels must be at least 3 (x, y, z), got {in_channels}')
        self.num_groups = num_groups
        self.group_size = group_size
        self.in_channels = in_channels
        self.out_channels = encoder_dim if embed_dim is None else embed_dim
        # linear layers on (points, channels) rather than convolutions of kernel 1: the same
        # function, without the transposes and without the reduced precision of cuDNN
        first, local, second = hidden_dims
        self.first = nn.Sequential(
            nn.Linear(in_channels, first),
            nn.BatchNorm1d(first),
            nn.ReLU(inplace=True),
            nn.Linear(first, local),
        )
        self.second = nn.Sequential(
            nn.Linear(2 * local, second),
            nn.BatchNorm1d(second),
            nn.ReLU(inplace=True),
            nn.Linear(second, encoder_dim),
        )
        self.reduce = nn.Identity() if embed_dim is None else nn.Linear(encoder_dim, embed_dim)

    def group(self, points: Tensor) -> Patches:
        """Check and group clouds.

        Args:
            points: (B, N, in_channels).

        Returns:
            See :func:`group_points`.

        Raises:
            ValueError: see :func:`check_points`.
        """
        check_points(points, self.in_channels, max(self.num_groups, self.group_size))
        return group_points(points, self.num_groups, self.group_size)

    def encode(self, neighborhood: Tensor) -> Tensor:
        """The PointNet alone: (B, G, K, in_channels) to (B, G, encoder_dim)."""
        batch, groups, size, channels = neighborhood.shape
        local = self.first(neighborhood.reshape(-1, channels)).view(batch * groups, size, -1)
        pooled = local.amax(dim=1)
        # second[0] of the concatenation [pooled, local], where the half that is the same for all
        # points of a patch is computed once per patch
        linear = self.second[0]
        width = local.shape[-1]
        x = F.linear(local, linear.weight[:, width:])
        x = x + F.linear(pooled, linear.weight[:, :width], linear.bias)[:, None]
        x = self.second[1:](x.view(-1, x.shape[-1]))
        return x.view(batch, groups, size, -1).amax(dim=2)

    def copy_encoder_from(self, other: PointPatchEmbed) -> None:
        """Take over the PointNet of another embedding, such as a tokenizer's, in place.

        Point-BERT starts its transformer from the patch embedding of the tokenizer. The linear
        layer behind the PointNet, where there is one, keeps its weights.

        Raises:
            RuntimeError: if the widths differ.
        """
        self.first.load_state_dict(other.first.state_dict())
        self.second.load_state_dict(other.second.state_dict())

    def forward(self, patches: Patches) -> Tensor:
        """Tokens (B, G, out_channels) of patches."""
        return self.reduce(self.encode(patches.neighborhood))
