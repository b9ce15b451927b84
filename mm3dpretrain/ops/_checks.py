"""Input checks shared by the point operators: one clear ValueError before any kernel runs."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def cloud(name: str, xyz: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Check a batch of clouds and return it in a dtype that kernels know.

    Args:
        name (str): argument name for the message.
        xyz (Tensor): (B, N, D) floating point with B, N, D >= 1. Half types become float32.
        lengths (Tensor | None): (B,) checked lengths; only points before them must be finite.

    Raises:
        ValueError: not a tensor, wrong shape or dtype, empty, NaN or infinite.
    """
    if not isinstance(xyz, Tensor):
        raise ValueError(f'{name} must be a torch.Tensor, got {type(xyz).__name__}')
    if xyz.dim() != 3:
        raise ValueError(f'{name} must have shape (B, N, D), got {tuple(xyz.shape)}')
    if not xyz.is_floating_point():
        raise ValueError(f'{name} must be floating point, got {xyz.dtype}; convert it first')
    if 0 in xyz.shape:
        raise ValueError(f'{name} is empty: shape {tuple(xyz.shape)}')
    # A sum is NaN or infinite if any term is: one cheap pass. Finite terms can overflow it, and
    # padding may hold anything, hence the exact look only when it fails.
    if not math.isfinite(_sum(xyz.detach())):
        bad = ~torch.isfinite(xyz.detach()).all(-1)
        if lengths is not None:
            bad &= torch.arange(xyz.shape[1], device=xyz.device) < lengths.to(xyz.device)[:, None]
        where = bad.nonzero()
        if len(where):
            b, n = where[0].tolist()
            raise ValueError(
                f'{name} has {len(where)} points that are NaN or infinite, the first is '
                f'{name}[{b}, {n}] = {xyz[b, n].tolist()}; remove them before calling'
            )
    return xyz.float() if xyz.dtype in (torch.float16, torch.bfloat16) else xyz


def _sum(values: Tensor) -> float:
    if values.device.type == 'cpu' and values.dtype != torch.bfloat16:
        # On this thread: PyTorch's would spin for a while after it and slow the kernels down.
        with np.errstate(all='ignore'):
            return float(values.numpy().sum())
    return float(values.sum())


def pair(query_name: str, query: Tensor, name: str, points: Tensor) -> tuple[Tensor, Tensor]:
    """Check that two batches of clouds fit together; both in the wider of their dtypes."""
    if len(query) != len(points):
        raise ValueError(
            f'{query_name} and {name} differ in batch size: {len(query)} and {len(points)}'
        )
    if query.shape[2] != points.shape[2]:
        raise ValueError(
            f'{query_name} has {query.shape[2]} channels, {name} has {points.shape[2]}'
        )
    if query.device != points.device:
        raise ValueError(f'{query_name} is on {query.device}, {name} on {points.device}')
    dtype = torch.promote_types(query.dtype, points.dtype)
    return query.to(dtype), points.to(dtype)


def lengths_of(name: str, lengths: Tensor | None, xyz: Tensor) -> Tensor | None:
    """Check (B,) integer lengths in [1, N]; None where all clouds are full."""
    if lengths is None or not isinstance(xyz, Tensor) or xyz.dim() != 3:
        return None  # a wrong cloud gets its own message from `cloud`
    if not isinstance(lengths, Tensor):
        lengths = torch.as_tensor(lengths)
    if lengths.shape != xyz.shape[:1]:
        raise ValueError(
            f'{name} must have shape ({len(xyz)},), one per cloud, got {tuple(lengths.shape)}'
        )
    if lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ValueError(f'{name} must be integers, got {lengths.dtype}')
    values = lengths.tolist()
    for b, value in enumerate(values):
        if not 1 <= value <= xyz.shape[1]:
            raise ValueError(
                f'{name}[{b}] = {value} is outside [1, {xyz.shape[1]}]; drop empty clouds first'
            )
    if all(value == xyz.shape[1] for value in values):
        return None
    return lengths.to(device=xyz.device, dtype=torch.long)


def count(name: str, value: int, limit: int | None = None, what: str = '') -> int:
    """Check a positive integer that must not exceed ``limit``."""
    if isinstance(value, bool) or not hasattr(value, '__index__'):
        raise ValueError(f'{name} must be an int, got {value!r}')
    value = value.__index__()
    if value < 1:
        raise ValueError(f'{name} must be at least 1, got {value}')
    if limit is not None and value > limit:
        raise ValueError(f'{name} = {value} but {what} {limit} points')
    return value


def choice(name: str, value, allowed: tuple) -> None:
    """Check that ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f'{name} must be one of {allowed}, got {value!r}')


def indices(name: str, idx: Tensor, size: int, batch: int, dims: int) -> Tensor:
    """Check int indices (B, ...) with values in [-1, size); returns int64."""
    if not isinstance(idx, Tensor) or idx.dtype not in (torch.int32, torch.int64):
        kind = idx.dtype if isinstance(idx, Tensor) else type(idx).__name__
        raise ValueError(f'{name} must be an int32 or int64 tensor, got {kind}')
    if idx.dim() != dims or len(idx) != batch or idx.numel() == 0:
        raise ValueError(
            f'{name} must have {dims} dimensions, batch {batch} and no empty one, '
            f'got {tuple(idx.shape)}'
        )
    low, high = (int(v) for v in torch.aminmax(idx))
    if low < -1 or high >= size:
        raise ValueError(
            f'{name} holds {low if low < -1 else high}, outside [-1, {size}) for {size} points'
        )
    return idx.long()
