"""Fully sharded training that also runs without a GPU and whose checkpoints load everywhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import torch
from mmengine._strategy import FSDPStrategy as MMEngineFSDPStrategy
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed.fsdp import FullOptimStateDictConfig, FullStateDictConfig
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP
from torch.distributed.fsdp.wrap import lambda_auto_wrap_policy
from torch.nn.utils import clip_grad_norm_

from mm3dpretrain.registry import STRATEGIES

from .sharding import ShardedNormClipper, average_gradients, plain_name


@STRATEGIES.register_module()
class FSDPStrategy(MMEngineFSDPStrategy):
    """MMEngine's strategy of the same name, with what it lacks for this toolbox.

    - It runs on the CPU (gloo) as on CUDA.
    - Checkpoints hold the whole model under its own names, and the optimiser as a run without
      sharding stores it: they load into, and are resumed by, runs of any other kind.
    - Gradients are clipped by the norm of the whole model, not of the part in a process.
    - Scalars (a logit scale, weights of losses) stay whole in every process. A loss that keeps one
      within its bounds in place would change a copy otherwise.
    - Frozen parameters (teachers) stay whole as well.

    Config, beside ``runner_type='FlexibleRunner'``::

        strategy = dict(type='FSDPStrategy', blocks=('point_encoder.blocks',))

    Args:
        blocks: lists of modules whose members are gathered one at a time, during forward and
            backward. Without any, the whole model is gathered for a step, and sharding saves the
            memory of gradients and optimiser alone.
        model_wrapper: as MMEngine's.
        **kwargs: as MMEngine's, without ``state_dict_cfg`` and ``activation_checkpointing``
            (``ActivationCheckpointHook`` serves all strategies).

    Raises:
        ValueError: for options that this strategy does not offer, or blocks that are not there.
    """

    def __init__(
        self, *, blocks: Sequence[str] = (), model_wrapper: dict | None = None, **kwargs
    ) -> None:
        for name, instead in (
            ('state_dict_cfg', 'checkpoints are always whole'),
            ('activation_checkpointing', "use custom_hooks' ActivationCheckpointHook"),
        ):
            if name in kwargs:
                raise ValueError(f'FSDPStrategy has no {name}: {instead}')
        model_wrapper = dict(model_wrapper or {})
        if model_wrapper.get('sharding_strategy') == 'NO_SHARD':
            raise ValueError("sharding_strategy='NO_SHARD' shards nothing: use DDPStrategy")
        model_wrapper.setdefault('type', 'MMFullyShardedDataParallel')
        # what torch copies from the CPU to the CPU it frees under the copy
        away = get_device() != 'cpu'
        state_dict_cfg = dict(
            state_dict_type='FULL_STATE_DICT',
            state_dict_config=FullStateDictConfig(rank0_only=True, offload_to_cpu=away),
            optim_state_dict_config=FullOptimStateDictConfig(rank0_only=True, offload_to_cpu=away),
        )
        super().__init__(model_wrapper=model_wrapper, state_dict_cfg=state_dict_cfg, **kwargs)
        self.blocks = tuple(blocks)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        device = torch.device(get_device())
        if device.type != 'cpu':
            device = torch.device(device.type, int(os.environ['LOCAL_RANK']))
        # FSDP moves what it shards and leaves the rest where it is
        model = self.convert_model(model.to(device))
        frozen = [p for p in model.parameters() if not p.requires_grad]
        scalars = [p for p in model.parameters() if p.requires_grad and p.dim() == 0]
        self.model_wrapper.update(device_id=device, ignored_states=frozen + scalars)
        if self.blocks:
            chosen = self._chosen_blocks(model)
            self.model_wrapper['auto_wrap_policy'] = partial(
                lambda_auto_wrap_policy, lambda_fn=lambda module: id(module) in chosen
            )
        model = super()._wrap_model(model)
        self.whole = scalars
        average_gradients(scalars, model.process_group)
        return model

    def _chosen_blocks(self, model: nn.Module) -> set[int]:
        chosen = set()
        for name in self.blocks:
            try:
                members = [*model.get_submodule(name).children()]
            except AttributeError:
                members = []
            if not members:
                raise ValueError(f'blocks: the model has no list of modules {name!r}')
            chosen |= {id(member) for member in members}
        return chosen

    def build_optim_wrapper(self, optim_wrapper, model=None):
        """As MMEngine's; norms of gradients are those of the whole model.

        Raises:
            ValueError: for several optimisers.
        """
        built = super().build_optim_wrapper(optim_wrapper, model)
        if not isinstance(built, OptimWrapper):
            raise ValueError(
                f'FSDPStrategy shards the state of one optimiser, got {type(built).__name__}: use '
                'DDPStrategy for several'
            )
        if built.clip_func is clip_grad_norm_:
            built.clip_func = ShardedNormClipper(self.whole, model.process_group)
        return built

    def _parameter_names(self) -> list[str]:
        """Names of the optimiser's parameters in the order of its state."""
        names = {id(p): plain_name(name) for name, p in self.model.named_parameters()}
        groups = self.optim_wrapper.optimizer.param_groups
        return [names[id(parameter)] for group in groups for parameter in group['params']]

    def model_state_dict(self) -> dict:
        """Copies of the whole weights in the first process; the others take part."""
        state = super().model_state_dict()
        whole = {id(parameter) for parameter in self.whole}
        for name, parameter in self.model.named_parameters():
            name = plain_name(name)
            if id(parameter) in whole and name in state:
                state[name] = state[name].clone()  # FSDP copies what it shards alone
        return state

    def optim_state_dict(self) -> dict:
        """State of the optimiser as a run without sharding stores it, in the first process.

        The others take part and get a state without tensors.
        """
        optimizer = self.optim_wrapper.optimizer
        found = FSDP.optim_state_dict(self.model, optimizer).get('state', {})
        state = {i: found[name] for i, name in enumerate(self._parameter_names()) if name in found}
        return dict(self.optim_wrapper.state_dict(), state=state)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Load the state of the optimiser of a run with or without sharding.

        Raises:
            RuntimeError: for a state of other parameters.
        """
        names = self._parameter_names()
        counts = [len(group['params']) for group in state_dict['param_groups']]
        if sum(counts) != len(names):
            raise RuntimeError(
                f'the checkpoint holds the state of {sum(counts)} parameters, the optimiser has '
                f'{len(names)}: is it of another config?'
            )
        numbered = iter(names)
        named = dict(
            state={names[index]: value for index, value in state_dict['state'].items()},
            param_groups=[
                dict(group, params=[next(numbered) for _ in group['params']])
                for group in state_dict['param_groups']
            ],
        )
        local = FSDP.optim_state_dict_to_load(
            model=self.model, optim=self.optim_wrapper.optimizer, optim_state_dict=named
        )
        extra = {k: v for k, v in state_dict.items() if k not in ('state', 'param_groups')}
        self.optim_wrapper.load_state_dict(dict(local, **extra))
