"""Image and text embeddings of a data set on disk, computed once by a frozen teacher."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from .io import READ_ERRORS, SampleError, atomic_path

INDEX = 'embeddings.json'
VERSION = 1
#: where the texts of a sample may come from
TEXT_SOURCES = ('caption', 'clip_name', 'class')
TOOL = 'tools/precompute_embeddings.py'
#: one row a sample: hash of its id, rows of its views and texts, source and hash of its texts
ROW = np.dtype(
    [
        ('id', '<u8'),
        ('image', '<i8', 2),
        ('text', '<i8', 2),
        ('source', '<i2'),
        ('texts', '<u8'),
    ]
)


def stable_hash(*texts: str) -> int:
    """64 bits of texts, the same on every machine; 1e6 different ones collide once in 4e7 cases."""
    digest = hashlib.blake2b('\0'.join(texts).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), 'little')


def texts_of(
    record: Mapping, sources: Sequence[str], class_texts: Sequence[str] = ()
) -> tuple[list[str], str]:
    """Texts of a sample, from the first source that has any.

    Args:
        record: of a data set.
        sources: 'caption', all captions; 'clip_name', the name of the sample in a bank of text
            embeddings; 'class', the text of its class.
        class_texts: by label.

    Returns:
        Texts, maybe none, and their source.
    """
    for source in sources:
        if source == 'class':
            label = record.get('gt_label', -1)
            found = [class_texts[label]] if 0 <= label < len(class_texts) else []
        else:
            value = record.get(source) or []
            found = [value] if isinstance(value, str) else list(value)
        if found:
            return found, source
    return [], sources[0]


# --------------------------------------------------------------------------- writing


class EmbeddingWriter:
    """Fills a cache shard by shard; what a killed run has finished stays.

    A shard is two ``.npy`` files of half precision and, written last, their index: whoever sees
    the index sees a complete shard.

    Args:
        folder: made if needed.
        content: what the embeddings depend on: ``embed_dim``; ``image`` and ``text``, each None or
            a dict with ``key`` (a hash of everything that changes them) and ``identity`` (of the
            teacher); plain data.
        shard_size: samples of a shard.

    Raises:
        ValueError: if the folder holds embeddings of another teacher, other weights or other
            pictures; the message has both keys.
        SampleError: if its index is damaged.
    """

    def __init__(self, folder: str | os.PathLike, content: Mapping, shard_size: int = 1024) -> None:
        if shard_size < 1:
            raise ValueError(f'shard_size must be positive, got {shard_size}')
        self.folder = Path(folder)
        self.shard_size = shard_size
        self.embed_dim = content['embed_dim']
        content = json.loads(json.dumps(dict(content, version=VERSION)))
        if (self.folder / INDEX).is_file():
            self._check_same(read_content(self.folder), content)
        else:
            with atomic_path(self.folder / INDEX) as temporary:
                temporary.write_text(json.dumps(content, indent=1))
        self.known = {int(h) for _, rows in read_shards(self.folder) for h in rows['id']}
        numbers = [int(path.name.split('-')[0]) for path in self.folder.glob('*-index.npy')]
        self._next = max(numbers, default=-1) + 1
        self._clear()

    def _check_same(self, found: Mapping, wanted: Mapping) -> None:
        for part in ('image', 'text'):
            keys = [(c.get(part) or {}).get('key') for c in (found, wanted)]
            if keys[0] != keys[1]:
                raise ValueError(
                    f'{self.folder} has {part} embeddings of another teacher, other weights or '
                    f'other preprocessing: key {keys[0]!r} there, {keys[1]!r} wanted '
                    f'({found.get(part)} and {wanted.get(part)}). Give another folder or delete '
                    'this one'
                )

    def __contains__(self, sample_id: str) -> bool:
        return stable_hash(sample_id) in self.known

    def add(
        self,
        sample_id: str,
        image: np.ndarray,
        text: np.ndarray,
        texts: Sequence[str] = (),
        source: str = 'caption',
    ) -> None:
        """Add a sample; it is on disk when its shard is full, or after :meth:`flush`.

        Args:
            sample_id: of which there is one.
            image: (V, D), V may be 0.
            text: (K, D), K may be 0.
            texts: the K texts, for the check that they have not changed.
            source: where they come from, one of :data:`TEXT_SOURCES`.

        Raises:
            ValueError: for an id that is there already, other shapes, or values that half
                precision does not hold.
        """
        key = stable_hash(sample_id)
        if key in self.known:
            raise ValueError(f'{self.folder}: the sample id {sample_id!r} occurs twice')
        halves = []
        for name, rows in (('image', image), ('text', text)):
            if rows.ndim != 2 or rows.shape[1] != self.embed_dim:
                raise ValueError(
                    f'{name} embeddings of {sample_id!r} must be (rows, {self.embed_dim}), got '
                    f'{rows.shape}'
                )
            with np.errstate(over='ignore'):
                halves.append(rows.astype(np.float16))
            if not np.isfinite(halves[-1]).all():
                raise ValueError(
                    f'{name} embeddings of {sample_id!r} do not fit into half precision, or are '
                    'not finite'
                )
        spans = []
        for part, rows in zip(('image', 'text'), halves):
            start = sum(len(r) for r in self._rows[part])
            self._rows[part].append(rows)
            spans.append((start, start + len(rows)))
        source_index = TEXT_SOURCES.index(source)
        self._index.append((key, *spans, source_index, stable_hash(*texts)))
        self._ids.append(sample_id)
        self.known.add(key)
        if len(self._ids) >= self.shard_size:
            self.flush()

    def flush(self) -> None:
        """Write the samples of an unfinished shard."""
        if not self._ids:
            return
        name = f'{self._next:06d}'
        for part, rows in self._rows.items():
            with atomic_path(self.folder / f'{name}-{part}.npy') as temporary:
                np.save(temporary, np.concatenate(rows))
        with atomic_path(self.folder / f'{name}-ids.json') as temporary:
            temporary.write_text(json.dumps(self._ids))
        with atomic_path(self.folder / f'{name}-index.npy') as temporary:
            np.save(temporary, np.array(self._index, ROW))
        self._next += 1
        self._clear()

    def _clear(self) -> None:
        self._rows: dict[str, list[np.ndarray]] = dict(image=[], text=[])
        self._index: list[tuple] = []
        self._ids: list[str] = []


# --------------------------------------------------------------------------- reading


def read_content(folder: str | os.PathLike) -> dict:
    """What a cache holds: ``embed_dim``, ``image`` and ``text`` with their ``key``.

    Raises:
        FileNotFoundError: if there is no cache.
        SampleError: if its index is damaged or of another version.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise FileNotFoundError(
            f'no embeddings at {folder}: run {TOOL} CONFIG --out {folder}, or set the cache_dir of '
            'LoadEmbeddings'
        )
    try:
        content = json.loads(path.read_text())
        if content['version'] != VERSION or int(content['embed_dim']) < 1:
            raise ValueError(f'version {content["version"]}, {VERSION} wanted')
        return content
    except (ValueError, KeyError, TypeError) as error:
        raise SampleError(
            f'{path} is damaged ({error}): delete the folder and compute anew'
        ) from error


def read_shards(folder: str | os.PathLike) -> Iterator[tuple[str, np.ndarray]]:
    """(name, index rows) of all complete shards, in order.

    Raises:
        SampleError: if an index is damaged.
    """
    for path in sorted(Path(folder).glob('*-index.npy')):
        try:
            rows = np.load(path, allow_pickle=False)
            if rows.dtype != ROW:
                raise ValueError(f'columns {rows.dtype}')
        except READ_ERRORS as error:
            raise SampleError(
                f'{path} is damaged ({error}): delete it and run {TOOL} again'
            ) from error
        yield path.name.removesuffix('-index.npy'), rows


class EmbeddingCache:
    """Random access to the embeddings of a data set.

    The index is in memory (50 bytes a sample), the embeddings are mapped from disk: worker
    processes share their pages.

    Args:
        folder: written by :class:`EmbeddingWriter`.

    Attributes:
        content: see :func:`read_content`.
        embed_dim: D.
        text_identity, image_identity: of the teachers; None where there are no such embeddings.

    Raises:
        FileNotFoundError: if there is no cache.
        SampleError: if it is damaged or empty.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        self.content = read_content(folder)
        self.embed_dim = int(self.content['embed_dim'])
        self.text_identity = (self.content.get('text') or {}).get('identity')
        self.image_identity = (self.content.get('image') or {}).get('identity')
        shards = list(read_shards(folder))
        if not shards:
            raise SampleError(f'{folder} has no complete shard yet: run {TOOL} again')
        self._names = [name for name, _ in shards]
        rows = np.concatenate([rows for _, rows in shards])
        shard = np.repeat(np.arange(len(shards)), [len(rows) for _, rows in shards])
        order = np.argsort(rows['id'], kind='stable')
        self._index, self._shard = rows[order], shard[order]
        # a field of a structured array is strided: a search wants it dense
        self._keys = np.ascontiguousarray(self._index['id'])
        if (self._keys[1:] == self._keys[:-1]).any():
            raise SampleError(
                f'{folder}: a sample is there twice; were two runs writing at once? Delete it and '
                'compute anew'
            )
        self._maps: dict[tuple[int, str], np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, sample_id: str) -> bool:
        return self._find(sample_id) is not None

    def check_key(self, key: str | None) -> None:
        """Refuse a cache of another teacher.

        Args:
            key: identity of the teacher that is wanted; None accepts all.

        Raises:
            ValueError: with both identities.
        """
        found = [v for v in (self.image_identity, self.text_identity) if v is not None]
        if key is not None and key not in found:
            raise ValueError(
                f'{self.folder} holds embeddings of the teacher {" and ".join(found)}, '
                f'{key!r} is wanted: compute them with that teacher, or change the config'
            )

    def read(self, record: Mapping) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings of a sample.

        Args:
            record: with ``sample_id``, and the captions that the embeddings shall be of.

        Returns:
            (V, D) of its views and (K, D) of its texts, float16, mapped from disk; V or K is 0
            where it has none.

        Raises:
            SampleError: if the cache lacks the sample, its texts have changed, or a file is
                missing or damaged.
        """
        name = record['sample_id']
        position = self._find(name)
        if position is None:
            raise SampleError(
                f'{self.folder} has no embeddings of the sample {name!r}: run {TOOL} again, it '
                'goes on where it was'
            )
        row, shard = self._index[position], int(self._shard[position])
        source = TEXT_SOURCES[row['source']]
        # the text of a class is not in the record; a sample without texts hashes the empty list
        if source != 'class' and source in record:
            texts, _ = texts_of(record, [source])
            if stable_hash(*texts) != row['texts']:
                raise SampleError(
                    f'the {source} of the sample {name!r} has changed since its embeddings in '
                    f'{self.folder} were computed, it is {texts[:3]}: compute them anew'
                )
        found = []
        for part in ('image', 'text'):
            start, stop = row[part]
            found.append(self._map(shard, part)[start:stop])
        return found[0], found[1]

    def _find(self, sample_id: str) -> int | None:
        key = np.uint64(stable_hash(sample_id))
        position = int(np.searchsorted(self._keys, key))
        return position if position < len(self) and self._keys[position] == key else None

    def _map(self, shard: int, part: str) -> np.ndarray:
        if (shard, part) not in self._maps:
            path = self.folder / f'{self._names[shard]}-{part}.npy'
            last = self._index[part][self._shard == shard][:, 1].max()
            try:
                # a file of no rows cannot be mapped
                rows = np.load(path, mmap_mode='r' if last else None, allow_pickle=False)
                if rows.ndim != 2 or rows.shape[1] != self.embed_dim or len(rows) < last:
                    raise ValueError(f'shape {rows.shape}, ({last}, {self.embed_dim}) wanted')
            except READ_ERRORS as error:
                raise SampleError(
                    f'{path} is damaged ({error}): delete the shard {self._names[shard]} and run '
                    f'{TOOL} again'
                ) from error
            # slices of a memmap are slow to make, plain ones of the same memory are not
            self._maps[shard, part] = rows.view(np.ndarray)
        return self._maps[shard, part]
