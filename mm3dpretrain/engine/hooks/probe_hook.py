"""Watch during a training what the features are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mm3dpretrain.apis.features import build_dataset, isolated_rng
from mm3dpretrain.evaluation.probe_runner import build_untrained, probe_once, probe_settings
from mm3dpretrain.evaluation.probes import summarize
from mm3dpretrain.registry import HOOKS


@HOOKS.register_module()
class ProbeHook(Hook):
    """Score the encoder with a linear SVM and kNN every few epochs, beside the untrained one.

    The protocol is that of :mod:`mm3dpretrain.evaluation.probe_runner`. The untrained encoder is
    built from the same config and scored once. Scores go to the log, to the visualiser as
    ``probe/linear_svm``, ``probe/linear_svm_untrained``, ``probe/knn``, ``probe/knn_untrained``
    (percent, mean over the seeds), and to the message hub under the same names.

    The hook only watches. It leaves the random generators, the modes of all modules and their
    statistics as they were, so a run has the same losses with and without it, and it never
    chooses a checkpoint: that would be training on the test split.

    Args:
        interval: epochs between two probes; the last epoch is always probed.
        probe: see :func:`~mm3dpretrain.evaluation.probe_runner.probe_settings`; default the
            ``probe`` section of the run's config.
        seeds: fewer than the final ``tools/probe.py`` takes, since this repeats.
        num_workers: loader processes.

    Raises:
        ValueError: before training, if the settings are wrong.
    """

    priority = 'LOW'

    def __init__(
        self,
        interval: int = 10,
        probe: Mapping | None = None,
        seeds: Sequence[int] = (0,),
        num_workers: int = 0,
    ) -> None:
        if interval < 1 or not seeds:
            raise ValueError(f'need interval >= 1 and a seed, got {interval} and {list(seeds)}')
        self.interval = interval
        self.probe = probe
        self.seeds = tuple(seeds)
        self.num_workers = num_workers
        self._sets = None
        self._untrained: dict[int, dict[str, float]] = {}

    def before_train(self, runner) -> None:
        """Check the settings now rather than after the first epochs; the data are read later."""
        self._settings = probe_settings(self.probe or runner.cfg.get('probe'))

    def after_train_epoch(self, runner) -> None:
        """Probe, if it is this epoch's turn."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._run(runner)

    @master_only
    def _run(self, runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        with isolated_rng():
            scores = [self._scores(model, runner.cfg.model, seed) for seed in self.seeds]
        means = {name: summarize([score[name] for score in scores])['mean'] for name in scores[0]}
        for name, value in means.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars(means, step=runner.iter)
        runner.logger.info(
            f'Probe after epoch {runner.epoch + 1}: '
            + ', '.join(
                f'{title} {means[f"probe/{key}"]:.1f} % '
                f'(untrained {means[f"probe/{key}_untrained"]:.1f} %)'
                for key, title in (('linear_svm', 'linear SVM'), ('knn', 'kNN'))
            )
        )

    def _scores(self, model, model_cfg: Mapping, seed: int) -> dict[str, float]:
        """``probe/<name>`` and ``probe/<name>_untrained`` of one seed."""
        if self._sets is None:
            names = ('train_dataset', 'test_dataset')
            self._sets = [build_dataset(self._settings[name]) for name in names]
        models = dict(pretrained=model)
        if seed not in self._untrained:
            models['untrained'] = build_untrained(model, model_cfg, self._sets[0], seed)
        found = probe_once(models, *self._sets, self._settings, seed, self.num_workers)
        if 'untrained' in models:
            self._untrained[seed] = {
                f'probe/{name}_untrained': by_model['untrained'] for name, by_model in found.items()
            }
        trained = {f'probe/{name}': by_model['pretrained'] for name, by_model in found.items()}
        return {**trained, **self._untrained[seed]}
