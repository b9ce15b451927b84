"""What a score was measured on, kept beside the log of the run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.logging import MMLogger, print_log

from mm3dpretrain.datasets.io import atomic_path

#: names of the file's entries about the data, in the order of :func:`describe_sample`
SAMPLE_FACTS = ('gravity_axis', 'normalization', 'point_channels', 'num_points', 'embedding_key')


def describe_sample(sample, points) -> tuple:
    """The facts of :data:`SAMPLE_FACTS` about one sample, hashable; None where unknown.

    Args:
        sample: data sample or dict with its meta information.
        points: (N, C) input cloud, or None.
    """
    channels = sample.get('point_channels')
    return (
        sample.get('gravity_axis'),
        sample.get('normalization'),
        None if channels is None else tuple(channels),
        None if points is None else len(points),
        sample.get('embedding_key'),
    )


def summarize_samples(facts: Sequence[tuple]) -> dict:
    """The facts of all samples: one value, or the sorted list of different ones."""
    summary = {}
    for name, column in zip(SAMPLE_FACTS, zip(*facts)):
        values = sorted(set(column), key=str)
        values = [list(value) if isinstance(value, tuple) else value for value in values]
        summary[name] = values[0] if len(values) == 1 else values
    return summary


def write_result(
    name: str, content: Mapping, out_file: str | os.PathLike | None = None
) -> Path | None:
    """Write a result as JSON, and its place into the log.

    Args:
        name: of the file in the folder of the run's log.
        content: plain data.
        out_file: another place.

    Returns:
        Where it lies; None without ``out_file`` where no run writes a log file.
    """
    if out_file is None:
        log_file = MMLogger.get_current_instance().log_file
        if log_file is None:
            return None
        out_file = Path(log_file).parent / name
    with atomic_path(out_file) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + '\n')
    print_log(f'{name}: written to {out_file}', logger='current')
    return Path(out_file)
