"""The probe: what a pre-trained encoder's frozen features are worth, beside untrained ones.

Protocol, the same for :func:`run_probe`, ``tools/probe.py`` and ``ProbeHook``. For every seed

1. all clouds are drawn anew: the random transforms of the pipeline (which points of a shape are
   taken) depend on the seed and the sample only, and all encoders see the same clouds;
2. the untrained encoder is built anew with that seed, and the running statistics of its batch
   norms are fitted to training clouds, without labels
   (:func:`~mm3dpretrain.apis.features.calibrate_batch_norm`);
3. features are standardised by the training split; the SVM's ``C`` is chosen by cross-validation
   inside the training split, whose folds the seed draws.

The test split is used once per seed and encoder, for the final score. Accuracies are in percent;
``std`` is the sample standard deviation over the seeds. With one checkpoint it covers the draw of
the points (and, for the untrained encoder, of the weights), not the spread between training runs:
for that, give one checkpoint per seed.
"""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import nn
from torch.utils.data import Dataset

from mm3dpretrain.apis.checkpoint import check_conventions, load_pretrained, without_checkpoints
from mm3dpretrain.apis.features import (
    build_dataset,
    calibrate_batch_norm,
    extract_features,
    isolated_rng,
    iterate_batches,
    label_of,
)
from mm3dpretrain.datasets.samplers import mix_seed
from mm3dpretrain.registry import MODELS

from .baselines import d2_histogram, l1_nearest_neighbor
from .probes import knn_probe, linear_svm_probe, summarize

SCHEMA = ('train_dataset', 'test_dataset', 'seeds', 'batch_size', 'linear_svm', 'knn')


def probe_settings(probe: Mapping | None) -> dict:
    """Check the ``probe`` section of a config and fill in the defaults.

    The section is ``probe = dict(train_dataset=..., test_dataset=..., seeds=(0, 1, 2),
    batch_size=32, linear_svm=dict(...), knn=dict(...))``; the last two hold arguments of
    :func:`~mm3dpretrain.evaluation.probes.linear_svm_probe` and
    :func:`~mm3dpretrain.evaluation.probes.knn_probe`.

    Raises:
        ValueError: for a missing data set, no seeds or an unknown key.
    """
    probe = dict(probe or {})
    missing = [key for key in ('train_dataset', 'test_dataset') if not probe.get(key)]
    if missing:
        raise ValueError(
            f'the config has no probe.{" and no probe.".join(missing)}: add probe = '
            'dict(train_dataset=..., test_dataset=...), or name a file that has it with --dataset'
        )
    unknown = sorted(set(probe) - set(SCHEMA))
    if unknown:
        raise ValueError(f'unknown keys {unknown} in `probe`: it takes {SCHEMA}')
    settings = dict(seeds=(0, 1, 2), batch_size=32, linear_svm={}, knn={})
    settings.update(probe)
    if not settings['seeds']:
        raise ValueError('probe.seeds is empty: give at least one seed')
    return settings


def untrained_twin(model: nn.Module, model_cfg: Mapping, seed: int) -> nn.Module:
    """The same model with its transferable encoders built anew, without any checkpoint.

    Args:
        model: a pretrainer; it is not changed.
        model_cfg: its config, with one entry for each attribute in ``model.transfer_modules``.
        seed: of the new weights. The global generators are left as they were.

    Returns:
        A model with the same ``extract_feat``. Its other parts are those of ``model``, shared.

    Raises:
        ValueError: if the model names no encoder, or its config does not hold it.
    """
    attributes = list(getattr(model, 'transfer_modules', {}).values())
    if not attributes:
        raise ValueError(f'{type(model).__name__}.transfer_modules names no encoder to probe')
    lacking = [name for name in attributes if not isinstance(model_cfg.get(name), Mapping)]
    if lacking:
        raise ValueError(
            f'cannot build an untrained {lacking}: the model config has no such entry '
            f'(it has {sorted(model_cfg)})'
        )
    device = next((p.device for p in model.parameters()), torch.device('cpu'))
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    with isolated_rng(seed):
        for name in attributes:
            encoder = MODELS.build(without_checkpoints(model_cfg[name]))
            if hasattr(encoder, 'init_weights'):
                # MMEngine would log a paragraph for each parameter
                encoder._dump_init_info = lambda: None
                encoder.init_weights()
            twin._modules[name] = encoder.to(device)
    return twin


def build_untrained(
    model: nn.Module, model_cfg: Mapping, train_set: Dataset, seed: int
) -> nn.Module:
    """:func:`untrained_twin` with batch norm statistics of training clouds (protocol, step 2)."""
    twin = untrained_twin(model, model_cfg, seed)
    parts = [getattr(twin, name) for name in twin.transfer_modules.values()]
    return calibrate_batch_norm(twin, train_set, seed=seed, parts=parts)


def probe_once(
    models: Mapping[str, nn.Module],
    train_set: Dataset,
    test_set: Dataset,
    settings: Mapping,
    seed: int,
    num_workers: int = 0,
) -> dict[str, dict[str, float]]:
    """Scores of several encoders for one seed.

    Args:
        models: name -> pretrainer or encoder; all see the same clouds.
        train_set: labelled clouds that the probes learn from.
        test_set: labelled clouds that they are scored on.
        settings: see :func:`probe_settings`.
        seed: of the clouds and of the folds.
        num_workers: loader processes.

    Returns:
        probe name -> model name -> accuracy in percent.
    """
    load = dict(batch_size=settings['batch_size'], seed=seed, num_workers=num_workers)
    train_x, train_y = extract_features(dict(models), train_set, **load)
    # the same cloud must not be drawn for sample i of both splits
    load['seed'] = mix_seed(seed, 1)
    test_x, test_y = extract_features(dict(models), test_set, **load)
    scores: dict[str, dict[str, float]] = {'linear_svm': {}, 'knn': {}}
    for name in models:
        data = (train_x[name], train_y, test_x[name], test_y)
        svm = linear_svm_probe(*data, **{'seed': seed, **settings['linear_svm']})
        scores['linear_svm'][name] = svm['accuracy']
        scores['knn'][name] = knn_probe(*data, **settings['knn'])['accuracy']
    return scores


def histogram_baseline(settings: Mapping, seed: int) -> float:
    """Accuracy in percent of D2 histograms and their L1-nearest neighbour on the same splits.

    The histogram gets all points that are stored: it has no need of a fixed number.
    """
    splits = []
    for name in ('train_dataset', 'test_dataset'):
        dataset = settings[name]
        if isinstance(dataset, Mapping):
            dataset = copy.deepcopy(dict(dataset))
            pipeline = dataset.get('pipeline', [])
            dataset['pipeline'] = [t for t in pipeline if t.get('type') != 'SamplePoints']
        dataset = build_dataset(dataset)
        rows, labels = [], []
        with isolated_rng(seed):
            for batch in iterate_batches(dataset, batch_size=1, seed=seed):
                cloud = batch['inputs']['points'][0].numpy()
                rows.append(d2_histogram(cloud, seed=mix_seed(seed, len(rows))))
                labels.append(label_of(batch['data_samples'][0]))
        splits += [np.stack(rows), np.asarray(labels)]
    return l1_nearest_neighbor(*splits)


def run_probe(
    checkpoint: str | os.PathLike | Sequence[str | os.PathLike],
    config: str | os.PathLike | Config | None = None,
    probe: Mapping | None = None,
    seeds: Sequence[int] | None = None,
    batch_size: int | None = None,
    device: str | torch.device = 'cpu',
    baseline: bool = False,
    num_workers: int = 0,
) -> dict:
    """Probe checkpoints beside the same encoder untrained.

    Args:
        checkpoint: a checkpoint of a pre-training, or one for each seed (runs that differ in their
            own seed: the deviation then covers the training too).
        config: config of the pre-training; default the one stored in the checkpoint.
        probe: see :func:`probe_settings`; default the ``probe`` section of the config.
        seeds: default ``probe.seeds``.
        batch_size: default ``probe.batch_size``.
        device: where to compute features.
        baseline: add the D2 histogram as ``probe['d2_histogram']['baseline']``.
        num_workers: loader processes.

    Returns:
        ``probe.{linear_svm,knn}.{pretrained,untrained}.{mean,std,seeds}``, accuracies in percent
        (``seeds`` lists the accuracy of each seed), beside what was measured: ``checkpoints``,
        ``seeds``, ``num_train``, ``num_test``, ``notes`` and ``seconds``.

    Raises:
        FileNotFoundError: for a missing checkpoint, config or data set.
        RuntimeError: for a checkpoint that does not fit (see
            :func:`~mm3dpretrain.apis.checkpoint.load_pretrained`).
        ValueError: for wrong settings, or if the number of checkpoints is neither 1 nor that of
            the seeds.
    """
    start = time.perf_counter()
    one = isinstance(checkpoint, (str, os.PathLike))
    checkpoints = [checkpoint] if one else list(checkpoint)
    model = load_pretrained(checkpoints[0], config, device)
    settings = probe_settings(model.cfg.get('probe') if probe is None else probe)
    if batch_size is not None:
        settings['batch_size'] = batch_size
    seeds = [int(s) for s in (settings['seeds'] if seeds is None else seeds)]
    if len(checkpoints) not in (1, len(seeds)):
        raise ValueError(
            f'{len(checkpoints)} checkpoints for {len(seeds)} seeds {seeds}: give one checkpoint, '
            'or one for each seed'
        )
    train_set = build_dataset(settings['train_dataset'])
    test_set = build_dataset(settings['test_dataset'])
    with isolated_rng(0):
        first = test_set[0]['data_samples']
    notes = check_sample(model, first, str(checkpoints[0]))
    scores: dict[str, dict[str, list[float]]] = {}
    for index, seed in enumerate(seeds):
        if index and len(checkpoints) > 1:
            model = load_pretrained(checkpoints[index], config, device)
        untrained = build_untrained(model, model.cfg.model, train_set, seed)
        models = dict(pretrained=model, untrained=untrained)
        found = probe_once(models, train_set, test_set, settings, seed, num_workers)
        if baseline:
            found['d2_histogram'] = dict(baseline=histogram_baseline(settings, seed))
        for probe_name, by_model in found.items():
            for name, value in by_model.items():
                scores.setdefault(probe_name, {}).setdefault(name, []).append(value)
    return dict(
        checkpoints=[str(path) for path in checkpoints],
        method=type(model).__name__,
        seeds=seeds,
        unit='percent',
        num_train=len(train_set),
        num_test=len(test_set),
        notes=notes,
        probe={
            probe_name: {name: summarize(values) for name, values in by_model.items()}
            for probe_name, by_model in scores.items()
        },
        seconds=time.perf_counter() - start,
    )


def check_sample(model: nn.Module, sample, source: str) -> list[str]:
    """Compare the data conventions of a checkpoint with a sample that it is about to see.

    Returns:
        Differences that only cost accuracy (axis, normalisation); they are logged as warnings.

    Raises:
        ValueError: if the point channels differ.
    """
    meta = getattr(model, 'checkpoint_meta', {})
    channels = check_conventions(meta, source, point_channels=sample.get('point_channels'))
    if channels:
        raise ValueError(channels[0])
    notes = check_conventions(
        meta,
        source,
        gravity_axis=sample.get('gravity_axis'),
        normalization=sample.get('normalization'),
    )
    for note in notes:
        print_log(note, logger='current', level=logging.WARNING)
    return notes


def format_table(result: Mapping) -> str:
    """The scores of :func:`run_probe` as a text table, mean +- deviation in percent."""
    names = ('pretrained', 'untrained', 'baseline')
    rows = [('probe (%)', *names)]
    for probe_name, by_model in result['probe'].items():
        cells = [
            f'{by_model[n]["mean"]:.1f} +- {by_model[n]["std"]:.1f}' if n in by_model else '-'
            for n in names
        ]
        rows.append((probe_name, *cells))
    if all(row[-1] == '-' for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return '\n'.join('  '.join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in rows)
