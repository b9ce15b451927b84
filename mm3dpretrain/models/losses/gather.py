"""Collecting the features of all processes with their gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size
from torch import Tensor
from torch import distributed as torch_dist


class _AllGather(torch.autograd.Function):
    """All-gather whose backward pass sums what every process wants of a feature."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(get_world_size())]
        torch_dist.all_gather(parts, x.contiguous())
        ctx.size = x.shape[0]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        grad = grad.contiguous()
        torch_dist.all_reduce(grad)
        start = get_rank() * ctx.size
        return grad[start : start + ctx.size]


def gather_features(x: Tensor) -> Tensor:
    """Features of all processes, in rank order, differentiable.

    With a loss that averages over the local rows and with gradients averaged over the processes,
    as DistributedDataParallel does, value and gradients equal those of one process that holds the
    whole batch.

    Args:
        x: (B, ...) of this process; B must be the same everywhere.

    Returns:
        (world_size * B, ...).
    """
    return x if get_world_size() == 1 else _AllGather.apply(x)


def sum_over_processes(x: Tensor) -> Tensor:
    """Sum of a tensor over all processes, without gradient."""
    x = x.detach().clone()
    if get_world_size() > 1:
        torch_dist.all_reduce(x)
    return x


def count_rows(rows: Tensor, gather_distributed: bool = True) -> list[int]:
    """Number of rows (M, ...) of each process, in rank order; that of this one alone otherwise.

    Every process must call it: it is a collective operation.
    """
    if not gather_distributed or get_world_size() == 1:
        return [len(rows)]
    mine = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(mine) for _ in range(get_world_size())]
    torch_dist.all_gather(counts, mine)
    return torch.cat(counts).tolist()


def gather_rows(rows: Tensor, counts: list[int]) -> Tensor:
    """Rows of all processes in rank order, with gradient, also where their numbers differ.

    Args:
        rows: (M, C) of this process.
        counts: what :func:`count_rows` gave; with a single entry nothing is gathered.

    Returns:
        (sum(counts), C).
    """
    if len(counts) == 1:
        return rows
    size = max(max(counts), 1)
    everything = gather_features(F.pad(rows, (0, 0, 0, size - len(rows))))
    parts = [everything[r * size : r * size + count] for r, count in enumerate(counts)]
    return torch.cat(parts)
