"""Parts of a network that do not learn."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mm3dpretrain.registry import HOOKS


@HOOKS.register_module()
class FreezePartsHook(Hook):
    """Keep parts of a network as they are: no gradients, no running statistics, no dropout.

    The ``dec`` and ``lin`` stages of the transfer ladder for networks of mmdet3d, whose backbones
    cannot be frozen by their config. In a distributed training the wrapper must know that some
    weights get no gradient: ``model_wrapper_cfg=dict(type='MMDistributedDataParallel',
    find_unused_parameters=True)``.

    Args:
        parts: dotted names of sub-modules, such as 'backbone.encoder'.

    Raises:
        ValueError: without parts.
        AttributeError: before the training, if the network has no such part.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        if not parts:
            raise ValueError('FreezePartsHook needs parts: names of what shall not learn')
        self.parts = tuple(parts)
        self.frozen: list[nn.Module] = []

    def before_train(self, runner) -> None:
        """Take the parts out of the training."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.frozen = [model.get_submodule(name) for name in self.parts]
        for part in self.frozen:
            part.requires_grad_(False)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """The loop has put the whole model in training mode at the start of the epoch."""
        if batch_idx == 0:
            for part in self.frozen:
                part.train(False)
