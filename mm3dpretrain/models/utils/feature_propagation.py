"""Features of a few points carried to many (PointNet++, Sec. 3.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mm3dpretrain import ops


def interpolate_features(target: Tensor, source: Tensor, features: Tensor) -> Tensor:
    """Mean of the features of the three nearest source points, weighted by 1 / squared distance.

    Args:
        target: (B, N, 3) where features are wanted.
        source: (B, G, 3), where they are known, in the same frame.
        features: (B, G, C).

    Returns:
        (B, N, C). With fewer than three source points the nearest one's features. Gradients reach
        ``features`` only.
    """
    if source.shape[1] < 3:
        idx = ops.knn(target.detach(), source.detach(), 1).idx
        return ops.gather_points(features, idx[..., 0])
    dist, idx = ops.three_nn(target, source)
    weight = 1.0 / dist.square().clamp_min(1e-8)
    weight = weight / weight.sum(-1, keepdim=True)
    return ops.three_interpolate(features, idx, weight.to(features.dtype))


class FeaturePropagation(BaseModule):
    """Interpolate, append the features that the target points have themselves, and run an MLP.

    Args:
        in_channels: C of the source features.
        skip_channels: channels of the target points' own features; 0 for none.
        mlp_channels: widths of the layers, each followed by batch norm and ReLU.
        init_cfg: see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: int,
        mlp_channels: Sequence[int],
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        layers: list[nn.Module] = []
        width = in_channels + skip_channels
        for out in mlp_channels:
            layers += [nn.Linear(width, out, bias=False), nn.BatchNorm1d(out), nn.ReLU(True)]
            width = out
        self.layers = nn.Sequential(*layers)
        self.skip_channels = skip_channels
        self.out_channels = width

    def forward(
        self, target: Tensor, source: Tensor, features: Tensor, skip: Tensor | None = None
    ) -> Tensor:
        """Features (B, N, out_channels) of the target points.

        Args:
            target: (B, N, 3).
            source: (B, G, 3), in the same frame.
            features: (B, G, in_channels).
            skip: (B, N, skip_channels), or None where there are none.
        """
        carried = interpolate_features(target, source, features)
        if self.skip_channels:
            carried = torch.cat([carried, skip.to(carried.dtype)], dim=-1)
        return self.layers(carried.flatten(0, 1)).unflatten(0, carried.shape[:2])
