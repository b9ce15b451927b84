"""Curves of what a training logged."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mm3dpretrain.compat import require
from mm3dpretrain.datasets.io import atomic_path

COLUMNS = 3


def read_scalars(source: str | os.PathLike) -> list[dict]:
    """What MMEngine's local backend wrote during a training.

    Args:
        source: a ``scalars.json``, or the work directory of a run. A run that was resumed has one
            file for each start; later ones replace the steps that they repeat.

    Returns:
        One dict for each logged step, in order, with ``step`` and the values by name.

    Raises:
        FileNotFoundError: if there is no such file or the directory holds none.
        ValueError: naming file and line, if a line is no JSON object.
    """
    source = Path(source)
    files = [source] if source.is_file() else sorted(source.glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(f'no scalars.json at {source} or below {source}/*/vis_data')
    entries: dict[int, dict] = {}
    for file in files:
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                if number == len(lines):
                    break  # a run that was killed while it wrote leaves half a line
                raise ValueError(f'{file}, line {number} is no JSON: {error}') from error
            if isinstance(entry, dict) and 'step' in entry:
                # a probe and a loss of the same step are two lines
                entries.setdefault(int(entry['step']), {}).update(entry)
    return [entries[step] for step in sorted(entries)]


def draw_curves(
    entries: Sequence[Mapping] | Mapping[str, Sequence[Mapping]],
    path: str | os.PathLike,
    title: str = '',
    keys: Sequence[str] | None = None,
) -> Path:
    """Draw one panel for each logged name, over the iterations.

    Args:
        entries: what :func:`read_scalars` returns, or several runs by name, drawn in one panel
            each in its own colour.
        path: PNG to write.
        title: above all panels.
        keys: names to draw; default all losses and the probes. The scores of an untrained encoder
            (``probe/knn_untrained``) are drawn dashed in the panel of the trained one.

    Returns:
        The path.

    Raises:
        ValueError: if none of the runs logged any of the names.
    """
    runs = dict(entries) if isinstance(entries, Mapping) else {'': entries}
    logged = {key for run in runs.values() for entry in run for key in entry}
    panels = _default_keys(logged) if keys is None else [key for key in keys if key in logged]
    if not panels:
        raise ValueError(f'nothing to draw: {keys or "no loss"} is not among {sorted(logged)}')
    figure_module = require('matplotlib.figure', extra='eval', why='drawing curves')
    rows = -(-len(panels) // COLUMNS)
    columns = min(COLUMNS, len(panels))
    # a Figure of its own, not pyplot: no global state, no display needed
    figure = figure_module.Figure(figsize=(4 * columns, 2.7 * rows), layout='constrained')
    for index, key in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        for number, (name, run) in enumerate(runs.items()):
            kinds = (('', '-', 'pretrained'), ('_untrained', '--', 'untrained'))
            for suffix, style, kind in kinds:
                steps, values = series(run, key + suffix)
                if len(steps):
                    words = (name, kind if key + '_untrained' in logged else '')
                    label = ' '.join(filter(None, words))
                    marker = 'o' if len(steps) < 20 else None
                    axes.plot(
                        steps, values, style, color=f'C{number}', label=label, marker=marker, ms=3
                    )
        axes.set_title(key, fontsize=10)
        axes.grid(alpha=0.3)
        if index + columns >= len(panels):
            axes.set_xlabel('iteration')
        labels = axes.get_legend_handles_labels()[1]
        if any(labels):
            axes.legend(fontsize=8)
    if title:
        figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
    return Path(path)


def series(run: Sequence[Mapping], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps (n,) and values (n,) of one name, float64; steps that lack it are left out."""
    pairs = [(entry['step'], entry[key]) for entry in run if key in entry]
    values = np.asarray(pairs, np.float64).reshape(-1, 2)
    return values[:, 0], values[:, 1]


def _default_keys(logged: set[str]) -> list[str]:
    losses = sorted(key for key in logged if key.startswith('loss'))
    probes = sorted(
        key for key in logged if key.startswith('probe/') and not key.endswith('_untrained')
    )
    return losses + probes
