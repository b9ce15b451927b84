"""Where shards lie, how many samples they have, what these share."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..compat import require
from .io import SampleError
from .shard_io import INDEX, VERSION

# what must agree where several folders are read as one set
SHARED = (
    'point_channels', 'gravity_axis', 'normalization', 'image_dim', 'text_dim', 'embedding_key',
)  # fmt: skip
_TAR = re.compile(r'[^/\s]+\.tar')


def open_url(url: str):
    """A binary stream of a local path, an ``http(s)``, ``gs``, ``hf`` URL or a ``pipe:`` command.

    Raises:
        OSError: if it cannot be opened.
        ImportError: without webdataset.
    """
    return require('webdataset.gopen', 'shards', 'reading shards').gopen(url)


@dataclass(frozen=True)
class ShardIndex:
    """A list of shards.

    Attributes:
        urls: of S shards.
        counts: (S,) int64, samples in each.
        info: what all samples share: ``point_channels``, ``gravity_axis``, ``normalization``,
            ``image_dim`` and ``text_dim`` (width of the features or None), ``embedding_key``
            (which model made them), ``classes`` (list of str or None).
    """

    urls: tuple[str, ...]
    counts: np.ndarray
    info: dict = field(default_factory=dict)

    @property
    def num_samples(self) -> int:
        """Samples of all shards."""
        return int(self.counts.sum())


def read_shard_index(
    shards: str | os.PathLike | Sequence[str], index: str | None = None
) -> ShardIndex:
    """Read the index of a folder of shards, of some of its shards, or of several folders.

    Args:
        shards: a folder or its URL; a pattern such as ``.../shard-{000000..000099}.tar`` or the
            name of one tar, local or remote; or a list of these.
        index: where ``index.json`` lies if not beside the shards (needed for ``pipe:`` commands).

    Raises:
        FileNotFoundError: if there is no index.
        SampleError: if it is damaged.
        ValueError: for shards that it does not list, that are named twice, or for folders whose
            samples do not fit together.
    """
    if isinstance(shards, (str, os.PathLike)):
        return _read_one(os.fspath(shards), index)
    if not shards:
        raise ValueError('an empty list of shards')
    parts = [_read_one(os.fspath(source), index) for source in shards]
    for source, part in zip(shards, parts):
        for key in SHARED:
            if part.info.get(key) != parts[0].info.get(key):
                raise ValueError(
                    f'{source} has {key} {part.info.get(key)!r}, but {shards[0]} has '
                    f'{parts[0].info.get(key)!r}: they do not make one set'
                )
    info = dict(parts[0].info)
    if any(part.info.get('classes') != info.get('classes') for part in parts):
        info['classes'] = None
    return _checked([url for part in parts for url in part.urls], parts, info)


def _checked(urls: list[str], parts: Sequence[ShardIndex], info: dict) -> ShardIndex:
    repeated = [url for url, times in Counter(urls).items() if times > 1]
    if repeated:
        raise ValueError(f'shards that are named twice: {repeated[:5]}')
    return ShardIndex(tuple(urls), np.concatenate([part.counts for part in parts]), info)


def _read_one(source: str, index: str | None) -> ShardIndex:
    if _TAR.search(source) or '{' in source:
        urls = list(require('braceexpand', 'shards', 'reading shards').braceexpand(source))
        names = [_name(url) for url in urls]
        index = index or urls[0][: urls[0].rindex(names[0])] + INDEX
        found = _load(index)
        count_of = {entry['name']: entry['count'] for entry in found['shards']}
        unknown = [name for name in names if name not in count_of]
        if unknown:
            raise ValueError(
                f'{index} does not list {unknown[:5]} ({len(unknown)} of {len(names)} shards); it '
                f'has {len(count_of)}, from {found["shards"][0]["name"]} on'
            )
        counts = [count_of[name] for name in names]
    else:
        folder = source.rstrip('/')
        found = _load(index or f'{folder}/{INDEX}')
        urls = [f'{folder}/{entry["name"]}' for entry in found['shards']]
        counts = [entry['count'] for entry in found['shards']]
    info = {key: found.get(key) for key in (*SHARED, 'classes')}
    info['point_channels'] = tuple(info['point_channels'])
    part = ShardIndex(tuple(urls), np.asarray(counts, np.int64), info)
    return _checked(urls, [part], info)


def _name(url: str) -> str:
    found = _TAR.findall(url)
    if not found:
        raise ValueError(f'{url!r} names no .tar file')
    return found[-1]


def _load(path: str) -> dict:
    try:
        with open_url(path) as stream:
            text = stream.read()
    except OSError as error:
        raise FileNotFoundError(
            f'no index of shards at {path} ({error}). tools/dataset_converters/make_shards.py '
            'writes it beside the shards; see docs/datasets.md'
        ) from error
    try:
        found = json.loads(text)
        if found['version'] != VERSION:
            raise ValueError(f'version {found["version"]}, this release reads {VERSION}')
        if not found['shards'] or not found['point_channels']:
            raise ValueError('no shards')
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise SampleError(f'{path}: not an index of shards ({error})') from error
