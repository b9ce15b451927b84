"""DeepSpeed, where it is installed."""

from __future__ import annotations

from importlib.util import find_spec

from mmengine._strategy import DeepSpeedStrategy as MMEngineDeepSpeedStrategy

from mm3dpretrain.compat import require
from mm3dpretrain.registry import STRATEGIES

#: optimiser wrapper -> precision of DeepSpeed's autocast
PRECISIONS = {
    'OptimWrapper': None,
    'BFloat16OptimWrapper': 'bfloat16',
    'AmpOptimWrapper': 'float16',
}


@STRATEGIES.register_module()
class DeepSpeedStrategy(MMEngineDeepSpeedStrategy):
    """MMEngine's strategy of the same name, for the optimiser wrappers of all other runs.

    DeepSpeed clips, accumulates and casts by itself. What the wrapper of the config says of
    ``clip_grad``, ``accumulative_counts`` and mixed precision becomes DeepSpeed's setting.
    Parameters stay float32 and the forward pass runs under autocast: with parameters in half
    precision (DeepSpeed's ``bf16``) coordinates would be rounded too.

    DeepSpeed writes a folder for a checkpoint, which DeepSpeed alone resumes.

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
            optim_wrapper['type'] = 'DeepSpeedOptimWrapper'
        return super().build_optim_wrapper(optim_wrapper, model)


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
