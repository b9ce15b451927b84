"""DeepSpeed, where it is installed."""

from __future__ import annotations

from mmengine._strategy import DeepSpeedStrategy as MMEngineDeepSpeedStrategy

from mm3dpretrain.compat import require
from mm3dpretrain.registry import STRATEGIES


@STRATEGIES.register_module()
class DeepSpeedStrategy(MMEngineDeepSpeedStrategy):
    """MMEngine's strategy of the same name, which says first what is missing.

    DeepSpeed clips, accumulates and casts by its own settings: ``gradient_clipping``,
    ``gradient_accumulation_steps`` and ``bf16`` here, not those of the optimiser wrapper, whose
    type is ``DeepSpeedOptimWrapper``. It writes a folder for a checkpoint, which only DeepSpeed
    resumes; its ``zero_to_fp32.py`` makes plain weights of it.

    Args:
        **kwargs: as MMEngine's.

    Raises:
        ImportError: without DeepSpeed, with the command that installs it.
    """

    def __init__(self, **kwargs) -> None:
        require('deepspeed', why='DeepSpeedStrategy')
        super().__init__(**kwargs)
