"""Samples in WebDataset tars: one sample as bytes, one shard as samples, the index of a folder.

A shard is a tar of ``<place>.points.npy``, ``<place>.image.npy``, ``<place>.text.npy`` (where they
exist) and ``<place>.json``, with ``place`` the number of the sample in its shard, six digits. Any
reader of WebDataset understands it. ``index.json`` beside the shards says how many samples each has
and what all of them share.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np

from .io import SampleError

INDEX = 'index.json'
VERSION = 1
BLOCK = 512
# record key -> name of its array in the tar
ARRAYS = {'points': 'points', 'image_features': 'image', 'text_features': 'text'}
# record keys that are plain data
PLAIN = ('sample_id', 'synset', 'model_id', 'gt_label', 'caption')
WEIGHTS = ('image_weights', 'text_weights')


# --------------------------------------------------------------------------- one sample


def encode_sample(record: Mapping, half: bool = True) -> dict[str, bytes]:
    """Files of a sample, by their suffix; ``json`` is the last one.

    Args:
        record: ``sample_id``, ``points`` (N, C) and, where they exist, ``image_features`` (V, D),
            ``text_features`` (K, D), ``image_weights``, ``text_weights``, ``caption`` (list of
            str), ``synset``, ``model_id``, ``gt_label``.
        half: store points in half precision (in [-1, 1]: off by 0.00025 at most); features always
            are.

    Raises:
        SampleError: for points or features that are not finite in half precision, features that are
            no rows, or as many weights or captions as there are no rows for.
    """
    source = f'sample {record["sample_id"]!r}'
    files, sums = {}, {}
    for key, name in ARRAYS.items():
        if record.get(key) is None:
            continue
        values = np.asarray(record[key])
        with np.errstate(over='ignore'):
            values = values.astype(np.float16 if half or key != 'points' else np.float32)
        if values.ndim != 2 or not len(values):
            raise SampleError(f'{source}: {key} must be rows, got {values.shape}')
        if not np.isfinite(values).all():
            raise SampleError(
                f'{source}: {key} has values that are not finite, or too large for half precision '
                '(largest 65504)'
            )
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(values), allow_pickle=False)
        files[f'{name}.npy'] = buffer.getvalue()
        sums[name] = zlib.crc32(files[f'{name}.npy'])
    if 'points' not in sums:
        raise SampleError(f'{source} has no points')
    text = {key: record[key] for key in PLAIN if key in record}
    for key in WEIGHTS:
        if record.get(key) is not None:
            rows = record.get(key.replace('weights', 'features'))
            weights = np.asarray(record[key], np.float64)
            if rows is None or weights.shape != (len(rows),):
                raise SampleError(f'{source}: {weights.shape} {key} do not fit the features')
            text[key] = [round(float(w), 6) for w in weights]
    rows = record.get('text_features')
    if rows is not None and len(record.get('caption', ())) not in (0, len(rows)):
        raise SampleError(
            f'{source}: {len(record["caption"])} captions for {len(rows)} text features'
        )
    text['crc32'] = sums
    files['json'] = json.dumps(text, default=_plain).encode()
    return files


def _plain(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f'{type(value).__name__} is no plain data')


def decode_sample(files: Mapping[str, bytes], source: str) -> dict:
    """The record of :func:`encode_sample`; ``points`` float32, features float16 as they are stored.

    Raises:
        SampleError: if a file is missing or damaged; the message names ``source``.
    """
    try:
        record = json.loads(files['json'])
        sums = record.pop('crc32')
        for key, name in ARRAYS.items():
            if name in sums:
                data = files[f'{name}.npy']
                if zlib.crc32(data) != sums[name]:
                    raise SampleError(f'{source}: {name}.npy is damaged (its checksum is another)')
                record[key] = _read_array(data)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise SampleError(
            f'{source}: an incomplete sample ({type(error).__name__}: {error})'
        ) from error
    record['points'] = record['points'].astype(np.float32)
    for key in WEIGHTS:
        if key in record:
            weights = np.asarray(record[key], np.float64)
            record[key] = (weights / weights.sum()).astype(np.float32)
    return record


@lru_cache(maxsize=4096)
def _parse_header(header: bytes) -> tuple[np.dtype, tuple[int, ...]]:
    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran or dtype.hasobject:
        raise ValueError(f'an array of {dtype} in Fortran order or of objects')
    return dtype, shape


def _read_array(data: bytes) -> np.ndarray:
    """What ``np.load`` gives, without parsing headers that were met before."""
    start = 10 + int.from_bytes(data[8:10], 'little')
    dtype, shape = _parse_header(data[:start])
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


# --------------------------------------------------------------------------- one shard


def _parse_block(block: bytes) -> tuple[str, int] | None:
    """Name and size of the file that a tar header announces; None if it is no header."""
    try:
        checksum = int(block[148:156].strip(b'\0 '), 8)
        # the sum counts its own field as blanks
        if checksum != sum(block) - sum(block[148:156]) + 8 * 32:
            return None
        return block[:100].rstrip(b'\0').decode(), int(block[124:136].strip(b'\0 '), 8)
    except ValueError:
        return None


def iterate_shard(
    stream: BinaryIO, wanted: Callable[[int], bool] = lambda place: True
) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Samples of a tar, as far as it can be read.

    Python's ``tarfile`` takes a broken header for the end of the archive; this reader looks for
    the next good one, so that damage costs the samples it lies in. It reads forward only: from a
    file, a pipe or a connection.

    Args:
        stream: of the tar.
        wanted: whether the sample of a place is needed; the others are passed over.

    Yields:
        (place, files by suffix); files may be missing or damaged, see :func:`decode_sample`.
    """
    current, files = -1, {}
    while len(block := stream.read(BLOCK)) == BLOCK:
        found = _parse_block(block) if any(block[:8]) else None
        if found is None:
            continue
        name, size = found
        stem, _, suffix = name.partition('.')
        length = -(-size // BLOCK) * BLOCK
        if not stem.isdigit():  # extended headers and other people's files
            _pass_over(stream, length)
            continue
        place = int(stem)
        if place != current:
            if files:
                yield current, files
            current, files = place, {}
        if not wanted(place):
            _pass_over(stream, length)
            continue
        data = stream.read(length)
        if len(data) < size:
            break
        files[suffix] = data[:size]
    if files:
        yield current, files


def _pass_over(stream: BinaryIO, length: int) -> None:
    while length > 0 and (data := stream.read(min(length, 1 << 20))):
        length -= len(data)
