"""DeepSpeed, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine._strategy import DeepSpeedStrategy as MMEngineDeepSpeedStrategy
from mmengine._strategy.deepspeed import DeepSpeedOptimWrapper
from mmengine.dist import is_main_process
from mmengine.logging import MessageHub
from mmengine.runner.checkpoint import save_checkpoint, weights_to_cpu

from mm3dpretrain.compat import require
from mm3dpretrain.compat.checkpoints import WEIGHTS_IN_FOLDER
from mm3dpretrain.registry import OPTIM_WRAPPERS, STRATEGIES

#: optimiser wrapper -> precision of DeepSpeed's autocast
PRECISIONS = {
    'OptimWrapper': None,
    'BFloat16OptimWrapper': 'bfloat16',
    'AmpOptimWrapper': 'float16',
}


@OPTIM_WRAPPERS.register_module()
class DetachedDeepSpeedOptimWrapper(DeepSpeedOptimWrapper):
    """MMEngine's wrapper with the step outside of autograd.

    DeepSpeed gathers the new weights into views of the old ones; gloo, unlike NCCL, takes part in
    autograd and refuses to write into them.
    """

    @torch.no_grad()
    def step(self, **kwargs) -> None:
        """Let DeepSpeed clip, update and gather, and log the norm that it clipped."""
        super().step(**kwargs)
        norm = self.model.get_global_grad_norm()
        if norm is not None:
            MessageHub.get_current_instance().update_scalar('train/grad_norm', float(norm))


@STRATEGIES.register_module()
class DeepSpeedStrategy(MMEngineDeepSpeedStrategy):
    """MMEngine's strategy of the same name, for the optimiser wrappers of all other runs.

    DeepSpeed clips, accumulates and casts by itself. What the wrapper of the config says of
    ``clip_grad``, ``accumulative_counts`` and mixed precision becomes DeepSpeed's setting.
    Parameters stay float32 and the forward pass runs under autocast: with parameters in half
    precision (DeepSpeed's ``bf16``) coordinates would be rounded too.

    DeepSpeed writes a folder for a checkpoint, which DeepSpeed alone resumes. Beside its files
    there is ``weights.pth``: all weights with their meta information, for the tools and for
    transfer. Only stage 3, whose processes have no whole weights, lacks it.

    Args:
        **kwargs: as MMEngine's.

    Raises:
        ImportError: without DeepSpeed, or with a release that MMEngine cannot use; with the command
            that installs one.
    """

    def __init__(self, **kwargs) -> None:
        require('deepspeed', why='DeepSpeedStrategy')
        if find_spec('deepspeed.runtime.fp16.onebit') is None:
            raise ImportError(
                'DeepSpeedStrategy: MMEngine imports optimisers that this release of DeepSpeed no '
                'longer has: pip install "deepspeed<0.19"'
            )
        super().__init__(**kwargs)

    def build_optim_wrapper(self, optim_wrapper, model=None):
        """Build the wrapper that leaves everything to DeepSpeed.

        Raises:
            ValueError: for what DeepSpeed has no setting for.
        """
        if isinstance(optim_wrapper, dict):
            optim_wrapper = dict(optim_wrapper)
            self.config.update(deepspeed_settings(optim_wrapper))
            for name in ('clip_grad', 'accumulative_counts'):
                optim_wrapper.pop(name, None)
            optim_wrapper['type'] = 'DetachedDeepSpeedOptimWrapper'
        return super().build_optim_wrapper(optim_wrapper, model)

    def save_checkpoint(
        self,
        filename: str,
        *,
        extra_ckpt: dict | None = None,
        callback: Callable[[dict], None] | None = None,
        **kwargs,
    ) -> None:
        """Write DeepSpeed's folder, and the weights in it as every other training writes them."""
        extra_ckpt = {} if extra_ckpt is None else extra_ckpt
        super().save_checkpoint(filename, extra_ckpt=extra_ckpt, callback=callback, **kwargs)
        if not is_main_process() or self.model.zero_optimization_partition_weights():
            return
        weights = weights_to_cpu(self.model.module.state_dict())
        content = dict(meta=dict(extra_ckpt['meta']), state_dict=weights)
        if callback:  # hooks that say where the weights come from
            callback(content)
        save_checkpoint(content, str(Path(filename) / WEIGHTS_IN_FOLDER))


def deepspeed_settings(optim_wrapper: dict) -> dict:
    """DeepSpeed's settings for what a config asks of an optimiser wrapper.

    Args:
        optim_wrapper: config of an ``OptimWrapper``, ``BFloat16OptimWrapper`` or
            ``AmpOptimWrapper``.

    Raises:
        ValueError: for another wrapper, several optimisers, or another way to clip.
    """
    kind = optim_wrapper.get('type', 'OptimWrapper')
    if 'optimizer' not in optim_wrapper or kind not in PRECISIONS:
        raise ValueError(f'DeepSpeedStrategy takes one optimiser in {list(PRECISIONS)}, got {kind}')
    settings = dict(gradient_accumulation_steps=optim_wrapper.get('accumulative_counts', 1))
    clip = dict(optim_wrapper.get('clip_grad') or {})
    if clip:
        if clip.pop('type', 'norm') != 'norm' or clip.pop('norm_type', 2) != 2:
            raise ValueError(f'DeepSpeed clips the 2-norm alone, got {optim_wrapper["clip_grad"]}')
        settings['gradient_clipping'] = float(clip['max_norm'])
    if PRECISIONS[kind]:
        settings['torch_autocast'] = dict(enabled=True, dtype=PRECISIONS[kind])
    return settings
