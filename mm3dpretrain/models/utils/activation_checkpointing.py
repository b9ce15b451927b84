"""Computing activations again in the backward pass instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(model: nn.Module, modules: Sequence[str]) -> int:
    """Make modules keep their inputs alone and compute the rest again in the backward pass.

    Values and gradients stay the same, drop path and autocast included.

    Args:
        model: changed in place; it may be wrapped for several processes.
        modules: names in the model; of a list of modules (``'point_encoder.blocks'``), every
            member.

    Returns:
        The number of modules.

    Raises:
        ValueError: for a name that is not there, or a module with batch normalisation, whose
            running statistics would move twice in a step.
    """
    model = _unwrapped(model)
    chosen = []
    for name in modules:
        module = model
        for part in name.split('.'):
            module = _unwrapped(getattr(module, part, None))
        if module is None:
            raise ValueError(f'activation checkpointing: the model has no module {name!r}')
        members = [*module] if isinstance(module, (nn.ModuleList, nn.Sequential)) else [module]
        for member in members:
            if any(isinstance(part, _BatchNorm) for part in member.modules()):
                raise ValueError(
                    f'activation checkpointing: {name!r} has batch normalisation, whose running '
                    'statistics would move twice in a step: name modules without it'
                )
        chosen += [_unwrapped(member) for member in members]
    for module in chosen:
        module.forward = _checkpointed(module.forward)
    return len(chosen)


def _unwrapped(module: nn.Module | None) -> nn.Module | None:
    """The module inside wrappers such as DDP's and FSDP's."""
    while isinstance(getattr(module, 'module', None), nn.Module):
        module = module.module
    return module


def _checkpointed(forward: Callable) -> Callable:
    @wraps(forward)
    def wrapper(*args, **kwargs):
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return wrapper
