"""Scratch against pre-trained: the same runs twice, and what the difference amounts to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
from mmengine.config import Config

ARMS = ('scratch', 'pretrained')


def arm_config(
    cfg: Config, module: str | None, checkpoint: str | None, prefix: str | None
) -> Config:
    """The config of one arm: equal in everything but where the encoder's weights come from.

    Args:
        cfg: config with ``model``; not changed.
        module: dotted part of ``model`` that is the pre-trained encoder, such as 'backbone'; None
            for the parts that the config itself names with ``PretrainedParts``.
        checkpoint: its weights; None for random ones.
        prefix: of the encoder in the checkpoint, such as 'point_encoder.'; None for an exported
            bare encoder. Not used without ``module``.

    Returns:
        A copy. The pre-trained arm has a ``LoadReportHook``, so that a checkpoint which does not
        arrive ends the run before it starts.

    Raises:
        ValueError: if the model has no such module.
    """
    cfg = deepcopy(cfg)
    part, filled = cfg.model, [module]
    if module is None:
        start = deepcopy(declared_parts(cfg))
        if start is None:
            raise ValueError(
                'the config names no PretrainedParts in model.init_cfg: say which module is the '
                'encoder'
            )
        filled = list(start['parts'])
    else:
        for name in module.split('.'):
            if name not in part:
                raise ValueError(
                    f'model has no part {module!r}: {name!r} is not among {sorted(part)}'
                )
            part = part[name]
        declared = declared_parts(cfg)
        if declared is not None:  # it would fill the module in both arms
            rest = {k: v for k, v in declared['parts'].items() if k != module}
            cfg.model.init_cfg = dict(declared, parts=rest) if rest else None
        start = dict(type='Pretrained')
        if prefix:
            start['prefix'] = prefix
    part.init_cfg = None
    hooks = [hook for hook in cfg.get('custom_hooks') or [] if 'LoadReportHook' not in hook['type']]
    if checkpoint is not None:
        part.init_cfg = dict(start, checkpoint=str(checkpoint))
        hooks.append(dict(type='mm3dpretrain.LoadReportHook', parts=filled))
    cfg.custom_hooks = hooks
    cfg.load_from = None
    return cfg


def declared_parts(cfg: Config) -> Mapping | None:
    """``model.init_cfg`` where it is a ``mm3dpretrain.PretrainedParts``, else None."""
    init_cfg = cfg.model.get('init_cfg')
    named = isinstance(init_cfg, Mapping) and init_cfg['type'].endswith('PretrainedParts')
    return init_cfg if named else None


def compare_arms(runs: Mapping[str, Mapping[int, Mapping]]) -> dict[str, dict]:
    """Mean and deviation of both arms and of their difference, seed by seed.

    Args:
        runs: arm ('scratch', 'pretrained') -> seed -> metric -> value. Metrics that are not
            numbers are left out.

    Returns:
        metric -> ``{scratch, pretrained, difference: {mean, std, values}, seeds, better}``.
        ``std`` is the sample standard deviation (nan for one seed); the difference is pre-trained
        minus scratch with the same seed, so that what both share (the data order and, where
        ``PretrainedParts`` fills the encoder, all other initial weights) cancels; ``better``
        counts the seeds in which it is positive.

    Raises:
        ValueError: if the arms were not run with the same seeds, or share no metric.
    """
    seeds = sorted(runs[ARMS[0]])
    if seeds != sorted(runs[ARMS[1]]):
        raise ValueError(
            f'both arms need the same seeds, got {seeds} and {sorted(runs[ARMS[1]])}: the '
            'difference is taken seed by seed'
        )
    everyone = [runs[arm][seed] for arm in ARMS for seed in seeds]
    names = [key for key in everyone[0] if all(_is_number(run.get(key)) for run in everyone)]
    if not names:
        raise ValueError(
            f'the runs share no metric: {sorted({k for run in everyone for k in run})}'
        )
    table = {}
    for name in names:
        values = {arm: np.array([runs[arm][seed][name] for seed in seeds], float) for arm in ARMS}
        values['difference'] = values['pretrained'] - values['scratch']
        table[name] = {key: _summary(value) for key, value in values.items()}
        table[name]['seeds'] = seeds
        table[name]['better'] = int((values['difference'] > 0).sum())
    return table


def _is_number(value) -> bool:
    return isinstance(value, (int, float, np.number)) and bool(np.isfinite(value))


def _summary(values: np.ndarray) -> dict:
    std = float(values.std(ddof=1)) if len(values) > 1 else float('nan')
    return dict(mean=float(values.mean()), std=std, values=values.tolist())


def _cell(entry: Mapping, digits: int) -> str:
    mean, std = entry['mean'], entry['std']
    # one seed has no deviation
    return f'{mean:.{digits}f}' + ('' if np.isnan(std) else f' +- {std:.{digits}f}')


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns; the first of the ``rows`` is its head."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ['| ' + ' | '.join(c.ljust(w) for c, w in zip(row, widths)) + ' |' for row in rows]
    lines.insert(1, '|' + '|'.join('-' * (w + 2) for w in widths) + '|')
    return '\n'.join(lines)


def format_comparison(table: Mapping[str, Mapping]) -> str:
    """What :func:`compare_arms` returns as a Markdown table."""
    columns = ('scratch', 'pretrained', 'difference')
    rows = [('metric', 'scratch', 'pre-trained', 'difference', 'higher in')]
    for name, entry in table.items():
        # percent and metres need fewer digits than shares and relative errors
        digits = 2 if abs(entry['scratch']['mean']) >= 2 else 4
        cells = [_cell(entry[column], digits) for column in columns]
        cells[2] = ('' if entry['difference']['mean'] < 0 else '+') + cells[2]
        rows.append((name, *cells, f'{entry["better"]} of {len(entry["seeds"])} seeds'))
    return markdown_table(rows)


def mean_curves(
    runs: Sequence[Sequence[Mapping]], key: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps (n,), mean (n,) and sample deviation (n,) of a logged value over several runs.

    Args:
        runs: what ``visualization.read_scalars`` returns, one for each seed.
        key: name of the value; steps that not all runs logged are left out.
    """
    series = [{entry['step']: entry[key] for entry in run if key in entry} for run in runs]
    steps = sorted(set.intersection(*map(set, series))) if series else []
    values = np.array([[one[step] for step in steps] for one in series], float)
    deviation = values.std(axis=0, ddof=1) if len(series) > 1 else np.zeros(len(steps))
    return np.array(steps, float), values.mean(axis=0) if steps else np.zeros(0), deviation
