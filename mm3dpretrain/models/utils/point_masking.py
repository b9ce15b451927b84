"""Points that a network does not get to see."""

from __future__ import annotations

import torch
from torch import Tensor


def drop_points(points: Tensor, ratio: float, block_size: float | None = None) -> Tensor:
    """A cloud without a share of its points.

    Args:
        points: (B, N, C), coordinates first.
        ratio: share in [0, 1) to leave out; 0 returns ``points`` as they are.
        block_size: edge of the cubes whose points are left out together, in the unit of the
            points; the last cube may be left out in part. None: points one by one.

    Returns:
        (B, N - floor(ratio N), C), in the order that they had.

    Raises:
        ValueError: for a ratio or an edge out of range.
    """
    if not 0 <= ratio < 1:
        raise ValueError(f'the share of masked points must be in [0, 1), got {ratio}')
    if block_size is not None and not block_size > 0:
        raise ValueError(f'block_size must be positive, got {block_size}')
    batch, num = points.shape[:2]
    dropped = int(ratio * num)
    if not dropped:
        return points
    noise = torch.rand(batch, num, dtype=torch.float64, device=points.device)
    if block_size is not None:
        cell = torch.floor(points[..., :3] / block_size).long()
        cell = cell - cell.amin(dim=(0, 1))
        size = cell.amax(dim=(0, 1)) + 1
        # one number a cube and sample: finding equal numbers is faster than equal rows
        key = torch.arange(batch, device=points.device)[:, None]
        for axis in range(3):
            key = key * size[axis] + cell[..., axis]
        block = key.unique(return_inverse=True)[1]
        # all points of a cube have its number, and their own one decides between them
        of_block = torch.randperm(int(block.max()) + 1, device=points.device)
        noise = noise + of_block[block]
    kept = noise.argsort(dim=1)[:, dropped:].sort(dim=1).values
    return points.gather(1, kept[..., None].expand(-1, -1, points.shape[-1]))
