"""What works on a model whose parameters are spread over processes, and on any other alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as torch_dist
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

#: what FSDP and activation checkpointing put into the names of wrapped modules
WRAPPERS = ('_fsdp_wrapped_module.', '_checkpoint_wrapped_module.')


def is_sharded(model: nn.Module) -> bool:
    """Whether a model is wrapped by FSDP."""
    return isinstance(model, FSDP)


def plain_name(name: str) -> str:
    """The name of a parameter without the wrappers on the way."""
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, '')
    return name


@contextmanager
def whole_parameters(model: nn.Module) -> Iterator[None]:
    """Every process holds the whole parameters inside, for reading; nothing for other models.

    It is a collective operation: all processes must enter it.
    """
    if is_sharded(model):
        with FSDP.summon_full_params(model, writeback=False):
            yield
    else:
        yield


def reshard(model: nn.Module) -> None:
    """Free what a forward pass without a backward pass gathered.

    FSDP keeps the outermost parameters whole after it, waiting for a backward pass.
    """
    with whole_parameters(model):
        pass


def average_gradients(parameters: Iterable[nn.Parameter], group=None) -> None:
    """Average the gradients of parameters that FSDP does not know, as soon as they are there.

    The average of an average is itself, so that this also holds where gradients are accumulated.
    """

    def average(parameter: nn.Parameter) -> None:
        parameter.grad /= torch_dist.get_world_size(group)
        torch_dist.all_reduce(parameter.grad, group=group)

    for parameter in parameters:
        parameter.register_post_accumulate_grad_hook(average)


class ShardedNormClipper:
    """``torch.nn.utils.clip_grad_norm_`` for parameters that are spread over processes.

    That function takes the norm of this process's parts: every process would shorten its part by
    another factor, and none by the right one.

    Args:
        whole: parameters that every process holds entirely.
        group: processes that share the others.
    """

    def __init__(self, whole: Iterable[nn.Parameter], group=None) -> None:
        self.whole = {id(parameter) for parameter in whole}
        self.group = group

    @torch.no_grad()
    def __call__(
        self, parameters: Iterable[nn.Parameter], max_norm: float, norm_type: float = 2.0
    ) -> Tensor:
        """Shorten the gradients in place where their norm is above ``max_norm``; the norm.

        Raises:
            ValueError: for a norm that is not of finite, positive order.
        """
        if not 0 < norm_type < float('inf'):
            raise ValueError(f'norm_type must be positive and finite, got {norm_type}')
        grads = [(id(p) in self.whole, p.grad) for p in parameters if p.grad is not None]
        device = grads[0][1].device if grads else None
        spread, whole = torch.zeros((), device=device), torch.zeros((), device=device)
        for is_whole, grad in grads:
            part = grad.float().norm(norm_type) ** norm_type
            if is_whole:
                whole += part
            else:
                spread += part
        torch_dist.all_reduce(spread, group=self.group)
        norm = (spread + whole) ** (1 / norm_type)
        factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
        for _, grad in grads:
            grad.mul_(factor)
        return norm
