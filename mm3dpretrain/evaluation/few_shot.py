"""Few-shot classification: tasks out of a config, frozen features, and tables over folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from mm3dpretrain.apis.checkpoint import (
    load_weights,
    read_checkpoint,
    strip_prefix,
    without_checkpoints,
)
from mm3dpretrain.apis.features import build_dataset, calibrate_batch_norm, isolated_rng
from mm3dpretrain.registry import MODELS

from .probe_runner import probe_once
from .transfer import ARMS, markdown_table


def fold_config(cfg: Config, way: int, shot: int, fold: int) -> Config:
    """The config of one few-shot task.

    Args:
        cfg: config with data sets that have ``way``, ``shot`` and ``fold`` (``FewShotFold``,
            ``ModelNetFewShot``) and a classification head; not changed.
        way: N.
        shot: K.
        fold: number of the fold.

    Raises:
        ValueError: if the config has no test loop, or its data sets are of another kind.
    """
    cfg = deepcopy(cfg)
    for name in ('train_dataloader', 'test_dataloader'):
        if cfg.get(name) is None:
            raise ValueError(f'the config has no {name}')
        kind = cfg[name].dataset.type
        if 'FewShot' not in str(kind):
            raise ValueError(
                f'{name}.dataset is {kind}: few-shot tasks need FewShotFold or ModelNetFewShot'
            )
        cfg[name].dataset.update(way=way, shot=shot, fold=fold)
    cfg.model.head.num_classes = way
    return cfg


def probe_fold(
    cfg: Config,
    checkpoint: str | None,
    prefix: str | None,
    seed: int,
    device: str | torch.device = 'cpu',
) -> dict[str, float]:
    """Accuracies in percent of classifiers on frozen features of one task.

    Support and query clouds go through the pipeline of the test. The probes are those of
    ``tools/probe.py``: a linear SVM, ``C`` by cross-validation inside the support, and a cosine
    vote of the K nearest supports.

    Args:
        cfg: what :func:`fold_config` gives.
        checkpoint: weights of ``model.backbone``; None takes random ones with batch norm
            statistics of the support clouds.
        prefix: of the encoder in the checkpoint; None or '' for an exported bare encoder.
        seed: of the random weights, and of the clouds' random transforms.
        device: where to compute features.

    Returns:
        ``linear_svm`` and ``knn``.

    Raises:
        FileNotFoundError: for a missing checkpoint.
        RuntimeError: for one that does not fit.
    """
    pipeline = cfg.test_dataloader.dataset.pipeline
    support = build_dataset(dict(cfg.train_dataloader.dataset, pipeline=pipeline))
    query = build_dataset(cfg.test_dataloader.dataset)
    model = build_encoder(cfg, checkpoint, prefix, seed)
    if checkpoint is None:
        calibrate_batch_norm(model, support, seed=seed, parts=[model.backbone])
    settings = dict(
        batch_size=cfg.test_dataloader.batch_size,
        linear_svm={},
        knn=dict(k=cfg.train_dataloader.dataset.shot),
    )
    found = probe_once({'model': model.to(device)}, support, query, settings, seed)
    return {name: scores['model'] for name, scores in found.items()}


def build_encoder(cfg: Config, checkpoint: str | None, prefix: str | None, seed: int) -> nn.Module:
    """The model of a config with its backbone from a checkpoint, or random by ``seed``."""
    model = MODELS.build(without_checkpoints(cfg.model))
    with isolated_rng(seed):
        # MMEngine would log a paragraph for each parameter
        model.backbone._dump_init_info = lambda: None
        model.backbone.init_weights()
    if checkpoint is not None:
        weights = read_checkpoint(checkpoint)['state_dict']
        if prefix:
            weights = strip_prefix(weights, prefix)
        load_weights(model.backbone, weights, str(checkpoint))
    return model.eval()


def summarize_folds(runs: Mapping[str, Mapping[tuple[int, int], Mapping[str, float]]]) -> dict:
    """Mean and deviation over folds and seeds, for every arm, and the paired difference.

    Args:
        runs: arm ('scratch', 'pretrained') -> (seed, fold) -> metric -> accuracy in percent.

    Returns:
        metric -> arm -> ``dict(mean, std, values, by_seed)``; ``std`` is the sample standard
        deviation over all runs (0 for one), ``by_seed`` the mean over the folds of every seed.
        With both arms also ``difference``, pre-trained minus scratch run by run, with ``better``,
        the number of runs in which it is positive.

    Raises:
        ValueError: if the arms were not run on the same folds.
    """
    arms = [arm for arm in ARMS if arm in runs]
    keys = sorted(runs[arms[0]])
    if any(sorted(runs[arm]) != keys for arm in arms):
        raise ValueError('both arms need the same seeds and folds')
    metrics = list(runs[arms[0]][keys[0]])
    table: dict[str, dict] = {}
    for metric in metrics:
        values = {
            arm: np.array([runs[arm][key][metric] for key in keys], np.float64) for arm in arms
        }
        if len(arms) == 2:
            values['difference'] = values['pretrained'] - values['scratch']
        table[metric] = {name: _summary(value, keys) for name, value in values.items()}
        if len(arms) == 2:
            table[metric]['difference']['better'] = int((values['difference'] > 0).sum())
    return table


def _summary(values: np.ndarray, keys: Sequence[tuple[int, int]]) -> dict:
    seeds = sorted({seed for seed, _ in keys})
    by_seed = {
        seed: float(np.mean([v for v, key in zip(values, keys) if key[0] == seed]))
        for seed in seeds
    }
    std = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return dict(mean=float(values.mean()), std=std, values=values.tolist(), by_seed=by_seed)


def format_folds(table: Mapping[str, Mapping]) -> str:
    """What :func:`summarize_folds` returns as a Markdown table."""
    columns = [name for name in (*ARMS, 'difference') if name in next(iter(table.values()))]
    rows = [['accuracy (%)', *columns, *(['higher in'] if 'difference' in columns else [])]]
    for metric, entry in table.items():
        cells = [f'{entry[c]["mean"]:.1f} +- {entry[c]["std"]:.1f}' for c in columns]
        if 'difference' in columns:
            cells[-1] = ('' if entry['difference']['mean'] < 0 else '+') + cells[-1]
            count = len(entry['difference']['values'])
            cells.append(f'{entry["difference"]["better"]} of {count} runs')
        rows.append([metric, *cells])
    return markdown_table(rows)
