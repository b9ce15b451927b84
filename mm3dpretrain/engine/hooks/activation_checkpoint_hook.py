"""Less memory for more computation."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.hooks import Hook

from mm3dpretrain.models.utils import checkpoint_activations
from mm3dpretrain.registry import HOOKS


@HOOKS.register_module()
class ActivationCheckpointHook(Hook):
    """Compute the activations inside some modules again in the backward pass.

    MMEngine's own switch, ``activation_checkpointing`` of the config, is read by ``Runner`` alone,
    and takes PyTorch's older way, which loses the gradients of a module whose inputs need none.
    This one serves every runner and strategy.

    Args:
        modules: names of modules in the model; of a list of modules, every member. Such as
            ``('point_encoder.blocks',)``.

    Raises:
        ValueError: before the training, for a module that is not there or has batch statistics.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = tuple(modules)

    def before_train(self, runner) -> None:
        """Wrap the modules."""
        count = checkpoint_activations(runner.model, self.modules)
        runner.logger.info(f'{count} modules are computed again in the backward pass')
