"""Learning curves of scratch and pre-trained side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mm3dpretrain.compat import require
from mm3dpretrain.datasets.io import atomic_path


def draw_transfer_curves(
    runs: Mapping[str, Sequence[Sequence[Mapping]]],
    path: str | os.PathLike,
    keys: Sequence[str],
    title: str = '',
) -> Path:
    """One panel for each logged name: the mean over the seeds and a band of one deviation.

    Args:
        runs: arm -> one list of entries (see :func:`read_scalars`) for each seed.
        path: PNG to write.
        keys: names to draw; those that no run logged are left out.
        title: above all panels.

    Returns:
        The path.

    Raises:
        ValueError: if none of the names was logged.
    """
    from mm3dpretrain.evaluation.transfer import mean_curves

    curves = {
        key: {arm: mean_curves(entries, key) for arm, entries in runs.items()} for key in keys
    }
    panels = [key for key in keys if any(len(steps) for steps, _, _ in curves[key].values())]
    if not panels:
        raise ValueError(f'nothing to draw: no run logged any of {list(keys)}')
    figure_module = require('matplotlib.figure', extra='eval', why='drawing curves')
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = figure_module.Figure(figsize=(4.5 * columns, 3 * rows), layout='constrained')
    for index, key in enumerate(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        for number, (arm, (steps, mean, deviation)) in enumerate(curves[key].items()):
            marker = 'o' if len(steps) < 20 else None
            axes.plot(steps, mean, color=f'C{number}', label=arm, marker=marker, ms=3)
            axes.fill_between(
                steps, mean - deviation, mean + deviation, color=f'C{number}', alpha=0.2, lw=0
            )
        axes.set_title(key, fontsize=10)
        axes.set_xlabel('iteration')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    if title:
        figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
    return Path(path)
