"""Furthest point sampling."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _checks, _cuda, backend, naive


def furthest_point_sample(
    xyz: Tensor,
    num_points: int,
    lengths: Tensor | None = None,
    start_index: int | Tensor = 0,
    skip_origin: bool = False,
) -> Tensor:
    """Choose points one after another, each the furthest from all chosen so far.

    Among equally far points the lowest index is chosen. Not differentiable; take the points with
    :func:`gather_points`.

    Args:
        xyz (Tensor): (B, N, D) coordinates, any unit, D usually 3.
        num_points (int): points to choose, at most N.
        lengths (Tensor | None): (B,) number of valid points of each cloud, in [1, N]; None: N.
        start_index (int | Tensor): index of the first point, or (B,) one per cloud.
        skip_origin (bool): follow ``pointnet2_ops``: a point with ``|p|^2 <= 1e-3`` is never
            chosen (except as the start). Checkpoints of the Point-BERT family saw this rule.

    Returns:
        Tensor: (B, num_points) int64 indices, -1 past a cloud's length.

    Raises:
        ValueError: wrong shape, dtype, range, or a coordinate that is NaN or infinite.
    """
    lengths = _checks.lengths_of('lengths', lengths, xyz)
    xyz = _checks.cloud('xyz', xyz, lengths).detach()
    num_points = _checks.count('num_points', num_points, xyz.shape[1], 'xyz has only')
    start = torch.as_tensor(start_index, device=xyz.device)
    if start.is_floating_point() or start.shape not in ((), xyz.shape[:1]):
        raise ValueError(f'start_index must be an int or (B,) ints, got {start_index!r}')
    limit = lengths if lengths is not None else xyz.shape[1]
    if ((start < 0) | (start >= limit)).any():
        raise ValueError(
            f'start_index {start.tolist()} is outside a cloud of {xyz.shape[1]} points'
        )
    if backend.use_own_kernels(xyz):
        from . import _cpu

        return _cpu.furthest_point_sample(xyz, num_points, lengths, start, skip_origin)
    if xyz.shape[2] == 3:
        kernels = None
        if skip_origin:
            kernels = backend.cuda_kernels('furthest_point_sample_skip_origin', xyz)
        kernels = kernels or backend.cuda_kernels('furthest_point_sample', xyz)
        if kernels is not None:
            return _cuda.furthest_point_sample(
                kernels, xyz, num_points, lengths, start, skip_origin
            )
    return naive.furthest_point_sample(xyz, num_points, lengths, start, skip_origin)
