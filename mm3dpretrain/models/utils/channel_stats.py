"""Statistics of channels, exact over all that was seen."""

from __future__ import annotations

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn


class ChannelStandardizer(nn.Module):
    """(x - mean) / deviation of each channel, over everything that was seen in training.

    The features of a frozen network can have a large common part: a constant has a cosine of 0.6
    to 0.7 with those of a small one, and an imitation that learns this constant looks as if it had
    learned something. Without it a constant has a cosine near 0.

    Sums are kept in double precision, over all processes, and are part of the checkpoint. Before
    anything was seen maps stay as they are.

    Args:
        channels: number C.
        eps: added to the variance.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        # cells, sums, sums of squares
        self.register_buffer('count', torch.zeros((), dtype=torch.float64))
        self.register_buffer('total', torch.zeros(channels, dtype=torch.float64))
        self.register_buffer('squares', torch.zeros(channels, dtype=torch.float64))

    @torch.no_grad()
    def forward(self, maps: Tensor) -> Tensor:
        """Maps (..., C, h, w) to the same shape in float32; in training they are counted first."""
        rows = maps.movedim(-3, -1).reshape(-1, maps.shape[-3]).double()
        if self.training:
            seen = torch.cat([rows.sum(0), rows.square().sum(0), rows.new_tensor([len(rows)])])
            all_reduce(seen)
            channels = len(self.total)
            self.total += seen[:channels]
            self.squares += seen[channels:-1]
            self.count += seen[-1]
        if not self.count:
            return maps.float()
        mean = self.total / self.count
        variance = (self.squares / self.count - mean.square()).clamp(min=0)
        scale = (variance + self.eps).rsqrt()
        return ((maps - mean[:, None, None]) * scale[:, None, None]).float()
