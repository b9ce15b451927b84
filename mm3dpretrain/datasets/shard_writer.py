"""Write any data set of points, maybe with embeddings and captions, as WebDataset shards."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..compat import require
from .io import SampleError, atomic_path
from .samplers import SeededIndex, mix_seed
from .shard_io import INDEX, VERSION, encode_sample
from .worker_pool import Outcome, Progress, one_line, run_jobs

PARTS = 'parts'
SETTINGS = 'settings.json'
# a shard takes as long as its samples take to read: a day, 64 GB
LIMITS = dict(timeout=24 * 3600.0, max_memory=64.0)
WIDTHS = {'image_dim': 'image_features', 'text_dim': 'text_features'}


@dataclass
class ShardSummary:
    """What became of a data set.

    Attributes:
        samples: written now and before.
        shards: number of tars.
        megabytes: of all tars.
        failed: 'sample: why' of samples that are left out, or 'shard: why'.
        kept: shards that were there already.
    """

    samples: int
    shards: int
    megabytes: float
    failed: list[str]
    kept: int


def write_shards(
    dataset: Any,
    out: str | os.PathLike,
    samples_per_shard: int = 10000,
    seed: int | None = 0,
    half: bool = True,
    workers: int = 1,
    embedding_key: str | None = None,
    settings: Mapping | None = None,
) -> ShardSummary:
    """Write the samples of a data set into shards with an index; go on where a run stopped.

    Every shard is complete whenever it exists, and depends on the data and the settings alone. The
    index is written last.

    Args:
        dataset: whose samples are records with ``sample_id``, ``points`` (N, C), ``point_channels``
            and maybe the other keys of :func:`~mm3dpretrain.datasets.shard_io.encode_sample`, and
            that has ``get_data_info``.
        out: folder, made if needed.
        samples_per_shard: the last shard may have fewer.
        seed: of the order in which the samples go into shards, so that neighbours in a shard are
            not of one kind, and of random transforms; None keeps the order of the data set.
        half: points in half precision.
        workers: processes; 1 works in this one.
        embedding_key: which model made the features; default the records' ``embedding_key``.
        settings: what else the samples depend on; a folder of other settings is refused.

    Raises:
        ValueError: for duplicated ids, samples that do not fit together, a folder of another data
            set or other settings, or nothing that could be written.
    """
    if samples_per_shard < 1:
        raise ValueError(f'samples_per_shard must be positive, got {samples_per_shard}')
    count = len(dataset)
    names = [str(dataset.get_data_info(i)['sample_id']) for i in range(count)]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(
            f'{len(repeated)} sample ids occur more than once, such as {repeated[:3]}: a cache of '
            'embeddings and a test set could not tell them apart. Make them differ, or list each '
            'sample once'
        )
    order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
    out = Path(out)
    _check_settings(
        out,
        dict(
            settings or {},
            ids=hashlib.sha256('\n'.join(names).encode()).hexdigest(),
            samples_per_shard=samples_per_shard,
            seed=seed,
            half=half,
            embedding_key=embedding_key,
        ),
    )
    chunks = [order[i : i + samples_per_shard] for i in range(0, count, samples_per_shard)]
    todo = [
        (number, chunk.tolist())
        for number, chunk in enumerate(chunks)
        if not (_part_path(out, number).is_file() and (out / _shard_name(number)).is_file())
    ]
    failed = []
    # imported before the processes are forked, which else all import it anew
    require('webdataset', 'shards', 'writing shards')
    write = _Writer(dataset, out, half, seed or 0)
    progress = Progress(len(todo)) if todo else None
    outcomes = run_jobs(write, todo, workers, **LIMITS) if workers > 1 else map(write.tell, todo)
    for done, outcome in enumerate(outcomes, 1):
        progress.update(done)
        if outcome.error is not None:
            failed.append(f'{_shard_name(outcome.job[0])}: {outcome.error}')
    if failed:
        return ShardSummary(0, len(chunks) - len(failed), 0.0, failed, len(chunks) - len(todo))
    parts = [json.loads(_part_path(out, number).read_text()) for number in range(len(chunks))]
    failed = [text for part in parts for text in part['failed']]
    written = [part for part in parts if part['count']]
    if not written:
        raise ValueError(f'no sample could be written, the first one: {failed[0]}')
    shared = _merge([part['shared'] for part in written])
    if embedding_key is not None:
        shared['embedding_key'] = embedding_key
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    index = dict(
        version=VERSION,
        num_samples=sum(part['count'] for part in written),
        samples_per_shard=samples_per_shard,
        **shared,
        classes=None if classes is None else list(classes),
        shards=[{key: part[key] for key in ('name', 'count', 'bytes')} for part in written],
    )
    with atomic_path(out / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1))
    size = sum(part['bytes'] for part in written) / 1e6
    return ShardSummary(index['num_samples'], len(written), size, failed, len(chunks) - len(todo))


def _shard_name(number: int) -> str:
    return f'shard-{number:06d}.tar'


def _part_path(out: Path, number: int) -> Path:
    return out / PARTS / f'shard-{number:06d}.json'


def _check_settings(out: Path, settings: dict) -> None:
    path = out / PARTS / SETTINGS
    settings = json.loads(json.dumps(settings, default=str))
    if path.is_file():
        found = json.loads(path.read_text())
        changed = sorted(k for k in {*found, *settings} if found.get(k) != settings.get(k))
        if changed:
            raise ValueError(
                f'{out} has shards of another data set or of other settings ({changed} differ): '
                'give another folder, or delete this one'
            )
        return
    if (out / INDEX).exists():
        raise ValueError(f'{out} has an index but no {PARTS}/{SETTINGS}: give another folder')
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(settings, indent=1))


class _Writer:
    """Writes one shard of chosen samples, here or in a process of its own."""

    def __init__(self, dataset: Any, out: Path, half: bool, seed: int) -> None:
        self.dataset = dataset
        self.out = out
        self.half = half
        self.seed = seed

    def tell(self, job: tuple[int, list[int]]) -> Outcome:
        """Write a shard in this process."""
        try:
            return Outcome(job, self(job), None)
        except (SampleError, ValueError, OSError) as error:
            return Outcome(job, None, one_line(error))

    def __call__(self, job: tuple[int, list[int]]) -> None:
        number, chosen = job
        writer = require('webdataset', 'shards', 'writing shards').TarWriter
        count, failed, shared = 0, [], []
        path = self.out / _shard_name(number)
        with atomic_path(path) as temporary:
            # a time of type float would make an extended header for every file
            with writer(str(temporary), encoder=False, mtime=0) as tar:
                for index in chosen:
                    try:
                        # the draws of a sample do not depend on who writes it
                        seeded = SeededIndex(index, mix_seed(self.seed, index))
                        record = self.dataset[seeded]
                        files = encode_sample(record, self.half)
                    except (SampleError, ValueError, OSError) as error:
                        failed.append(one_line(error))
                        continue
                    shared.append(_shared(record))
                    shared = [_merge(shared)]
                    tar.write({'__key__': f'{count:06d}', **files})
                    count += 1
            size = temporary.stat().st_size
        part = dict(
            name=path.name,
            count=count,
            bytes=size,
            failed=failed,
            shared=shared[0] if shared else None,
        )
        with atomic_path(_part_path(self.out, number)) as temporary:
            temporary.write_text(json.dumps(part))


def _shared(record: Mapping) -> dict:
    """What all samples of a set must have in common."""
    if 'point_channels' not in record:
        raise ValueError('records have no point_channels: LoadPoints is missing in the pipeline')
    found = dict(
        point_channels=list(record['point_channels']),
        gravity_axis=record.get('gravity_axis', 'none'),
        normalization=record.get('normalization', 'none'),
        embedding_key=record.get('embedding_key'),
    )
    for name, key in WIDTHS.items():
        rows = record.get(key)
        found[name] = None if rows is None else int(np.shape(rows)[-1])
    return found


def _merge(parts: Sequence[dict]) -> dict:
    """The common description; a width that some samples lack is that of the others.

    Raises:
        ValueError: if samples differ.
    """
    merged = dict(parts[0])
    for part in parts[1:]:
        for key, value in part.items():
            if key in WIDTHS and None in (value, merged[key]):
                merged[key] = merged[key] if value is None else value
            elif value != merged[key]:
                raise ValueError(
                    f'samples with {key} {merged[key]!r} and {value!r} cannot share shards'
                )
    return merged
