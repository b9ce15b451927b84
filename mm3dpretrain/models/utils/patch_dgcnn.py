"""Graph network over the patches of a cloud."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm3dpretrain import ops


def _group_norm(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Group norm of (B, ..., C), with statistics over a group's channels and all positions."""
    return norm(x.movedim(-1, 1)).movedim(1, -1)


class EdgeConv(nn.Module):
    """Edge convolution ``max_j act(norm(W [x_j - x_i, x_i]))`` (DGCNN).

    Args:
        in_channels: channels of a node.
        out_channels: channels after the convolution, divisible by 4.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * in_channels, out_channels, bias=False)
        self.norm = nn.GroupNorm(4, out_channels)

    def forward(self, x: Tensor, idx: Tensor) -> Tensor:
        """Node features (B, G, in) with neighbours (B, G, k) int64 to (B, G, out)."""
        # W [x_j - x_i, x_i] = A x_j + (B - A) x_i: computed on the nodes, not on every edge
        neighbor, own = self.linear.weight.chunk(2, dim=1)
        edges = ops.group_points(F.linear(x, neighbor), idx)
        edges = edges + F.linear(x, own - neighbor)[:, :, None]
        return F.leaky_relu(_group_norm(edges, self.norm), 0.2).amax(dim=2)


class PatchDGCNN(nn.Module):
    """Edge convolutions over the nearest patches, their outputs fused (Point-BERT, Sec. 3.1).

    The graph joins patches whose centres are near; it is the same for all layers.

    Args:
        in_channels: channels of a patch.
        out_channels: channels of the result, divisible by 4.
        num_neighbors: neighbours of a patch, itself included.
        widths: channels of the input layer and of the edge convolutions, each divisible by 4.

    Raises:
        ValueError: for widths that the 4 groups of the normalisation do not divide.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_neighbors: int = 4,
        widths: tuple[int, ...] = (128, 256, 512, 512, 1024),
    ) -> None:
        super().__init__()
        if any(width % 4 for width in (out_channels, *widths)):
            raise ValueError(
                f'out_channels and widths must be divisible by 4, got {out_channels} and {widths}'
            )
        self.num_neighbors = num_neighbors
        self.input = nn.Linear(in_channels, widths[0])
        self.layers = nn.ModuleList(map(EdgeConv, widths[:-1], widths[1:]))
        self.fuse = nn.Linear(sum(widths[1:]), out_channels, bias=False)
        self.norm = nn.GroupNorm(4, out_channels)

    def forward(self, x: Tensor, center: Tensor) -> Tensor:
        """Patch features (B, G, in_channels) with centres (B, G, 3) to (B, G, out_channels)."""
        with torch.no_grad():
            idx = ops.knn(center, center, self.num_neighbors).idx
        x = self.input(x)
        outputs = []
        for layer in self.layers:
            x = layer(x, idx)
            outputs.append(x)
        x = _group_norm(self.fuse(torch.cat(outputs, dim=-1)), self.norm)
        return F.leaky_relu(x, 0.2)
