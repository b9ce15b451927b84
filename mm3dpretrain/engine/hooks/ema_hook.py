"""Averaged weights, also of a model that is spread over processes."""

from __future__ import annotations

import torch
from mmengine.hooks import EMAHook as MMEngineEMAHook
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import Tensor, nn

from mm3dpretrain.engine.strategies.sharding import is_sharded, reshard
from mm3dpretrain.registry import HOOKS

PREFIX = 'module.'


class _Parts(nn.Module):
    """What this process holds of a model's parameters, as a module that can be averaged."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ParameterList(model.parameters())


@HOOKS.register_module()
class EMAHook(MMEngineEMAHook):
    """MMEngine's hook of the same name, which also serves ``FlexibleRunner`` and ``FSDPStrategy``.

    MMEngine's cannot be resumed by ``FlexibleRunner``, which loads before the hook has made its
    copy, and writes one process's parts into the checkpoints of a sharded model. Here every process
    averages its own parts; checkpoints hold whole weights in MMEngine's layout: ``state_dict`` the
    averaged ones, ``ema_state_dict`` the trained ones.

    Args:
        **kwargs: as MMEngine's.

    Raises:
        ValueError: before the training, for ``update_buffers`` with a sharded model.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.sharded: nn.Module | None = None
        self.loaded: dict[str, Tensor] | None = None

    def before_run(self, runner) -> None:
        """Copy the weights to average, or those that a resumed checkpoint had averaged."""
        self.sharded = runner.model if is_sharded(runner.model) else None
        if self.sharded is None:
            super().before_run(runner)
        elif self.ema_cfg.get('update_buffers'):
            raise ValueError('EMAHook cannot average the buffers of a sharded model')
        else:
            self.src_model = _Parts(self.sharded)
            self.ema_model = MMENGINE_MODELS.build(
                self.ema_cfg, default_args=dict(model=self.src_model)
            )
        if self.loaded is not None:
            self._load(self.loaded)
            self.loaded = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Separate averaged and trained weights of a checkpoint that is resumed."""
        if hasattr(self, 'ema_model'):
            super().after_load_checkpoint(runner, checkpoint)
        elif runner._resume and 'ema_state_dict' in checkpoint:
            self._swap_ema_state_dict(checkpoint)
            self.loaded = checkpoint['ema_state_dict']

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store both kinds of weights. All processes of a sharded model take part."""
        if self.sharded is None:
            super().before_save_checkpoint(runner, checkpoint)
            return
        trained = checkpoint['state_dict']
        self._swap_ema_parameters()
        checkpoint['state_dict'] = runner.strategy.model_state_dict()
        self._swap_ema_parameters()
        checkpoint['ema_state_dict'] = dict(
            {PREFIX + name: value for name, value in trained.items()}, steps=self.ema_model.steps
        )

    @torch.no_grad()
    def _load(self, state_dict: dict[str, Tensor]) -> None:
        """Fill the average with whole weights."""
        if self.sharded is None:
            self.ema_model.load_state_dict(state_dict, strict=self.strict_load)
            return
        trained = [parameter.clone() for parameter in self.sharded.parameters()]
        whole = {k.removeprefix(PREFIX): v for k, v in state_dict.items() if k.startswith(PREFIX)}
        self.sharded.load_state_dict(whole, strict=self.strict_load)
        for average, parameter, value in zip(
            self.ema_model.module.parameters(), self.sharded.parameters(), trained
        ):
            average.copy_(parameter)
            parameter.copy_(value)
        self.ema_model.steps.copy_(state_dict['steps'])

    def _swap_ema_parameters(self) -> None:
        if self.sharded is not None:
            reshard(self.sharded)
        super()._swap_ema_parameters()
