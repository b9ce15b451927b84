"""Sums over the rows of large matrices that are never in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: (first row, chunks of the row tensors, shared tensors) -> (sum over the rows, figure of each row)
Function = Callable[[int, Sequence[Tensor], Sequence[Tensor]], tuple[Tensor, Tensor]]


class _ChunkedSum(torch.autograd.Function):
    """One node for all chunks; each is computed again in the backward pass.

    ``torch.utils.checkpoint`` for every chunk does the same, but its small objects, one lot for
    each chunk, keep the C library of Linux (2.36) from using the freed chunks between them again:
    the process then grows by the whole matrix after all. For the same reason nothing that stays is
    allocated between two chunks here.
    """

    @staticmethod
    def forward(ctx, function: Function, size: int, num_rows: int, *tensors: Tensor):
        ctx.function, ctx.size, ctx.num_rows = function, size, num_rows
        ctx.save_for_backward(*tensors)
        length = len(tensors[0])
        total = figures = None
        for start in range(0, length, size):
            part = slice(start, start + size)
            value, figure = function(
                start, [x[part] for x in tensors[:num_rows]], tensors[num_rows:]
            )
            if total is None:
                total, figures = value.new_zeros(()), figure.new_empty(length)
            total += value
            figures[part] = figure
        ctx.mark_non_differentiable(figures)
        return total, figures

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor, _):
        tensors, size, num_rows = ctx.saved_tensors, ctx.size, ctx.num_rows
        needed = [i for i, need in enumerate(ctx.needs_input_grad[3:]) if need]
        grads = [torch.zeros_like(x) if i in needed else None for i, x in enumerate(tensors)]
        for start in range(0, len(tensors[0]), size):
            part = slice(start, start + size)
            inputs = [(x[part] if i < num_rows else x).detach() for i, x in enumerate(tensors)]
            for i in needed:
                inputs[i].requires_grad_()
            with torch.enable_grad(), torch.autocast(grad.device.type, enabled=False):
                value, _ = ctx.function(start, inputs[:num_rows], inputs[num_rows:])
            found = torch.autograd.grad(value, [inputs[i] for i in needed])
            for i, partial in zip(needed, found):
                (grads[i][part] if i < num_rows else grads[i]).add_(partial)
        return None, None, None, *(None if g is None else g.mul_(grad) for g in grads)


def chunked_sum(
    function: Function, rows: Sequence[Tensor], shared: Sequence[Tensor], size: int
) -> tuple[Tensor, Tensor]:
    """Sum of a function over rows, ``size`` of them at a time.

    Args:
        function: called with the index of the first row of a chunk, the chunk of every tensor in
            ``rows`` and ``shared``; returns the sum over the rows, a scalar, and a figure of each
            row without gradient. It must depend on tensors that need gradients through its
            arguments alone.
        rows: tensors (R, ...), R at least 1.
        shared: tensors that every chunk reads.
        size: rows of a chunk. Where R is larger, chunks are computed again in the backward pass.

    Returns:
        The sum, and the figures (R,).
    """
    if len(rows[0]) <= size:
        return function(0, rows, shared)
    return _ChunkedSum.apply(function, size, len(rows), *rows, *shared)
