"""Collecting the features of all processes with their gradients."""

from __future__ import annotations

import torch
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
