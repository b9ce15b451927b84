"""Repeatable random numbers inside the model."""

from __future__ import annotations

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mm3dpretrain.datasets.samplers import mix_seed, seed_everything
from mm3dpretrain.registry import HOOKS


@HOOKS.register_module()
class IterSeedHook(Hook):
    """Seed Python, NumPy and torch before every iteration from (seed, rank, iteration).

    Masks, drop path and view choices of an iteration then do not depend on what ran before it: a
    resumed run repeats them exactly without storing generator states, and hooks that draw random
    numbers in between (a probe, a picture) do not change the training.

    Args:
        seed: default the run's own (``randomness.seed``).
    """

    priority = 'VERY_HIGH'

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed the generators of this process."""
        seed = runner.seed if self.seed is None else self.seed
        seed_everything(mix_seed(seed, get_rank(), runner.iter))
