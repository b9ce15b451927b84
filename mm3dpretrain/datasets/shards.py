"""A stream of triplets from WebDataset tars, local or remote."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from mmengine.dataset import Compose
from mmengine.dist import get_dist_info
from mmengine.logging import print_log
from torch.utils.data import IterableDataset, get_worker_info

from ..registry import DATASETS
from .base import build_transforms
from .base_shape import ON_ERROR
from .io import SampleError
from .samplers import mix_seed, seed_transforms
from .shard_index import ShardIndex, open_url, read_shard_index
from .shard_io import decode_sample, iterate_shard
from .shard_order import Piece, batches_before, buffer_order, lane_bounds, lane_pieces

# loaders warn when a stream gives more than its length; MMEngine's logger asks for one
ENDLESS = 2**62


@DATASETS.register_module()
class ShardedTriplets(IterableDataset):
    """Points with cached embeddings from shards that ``make_shards.py`` wrote, in endless epochs.

    A sample has, before its pipeline, ``points`` (N, C) float32 with ``point_channels``,
    ``image_features`` (V, D) and ``text_features`` (K, D) float16 where they exist, maybe with
    ``image_weights`` and ``text_weights``, ``caption`` (list of str), ``sample_id``, ``synset``,
    ``model_id``, ``gt_label``, ``gravity_axis`` and ``normalization``.

    **Order.** In every epoch the shards are put in an order of its own, and the long row of their
    samples is cut into one equal part for each loader process of each rank: every sample is seen
    once an epoch, by one of them, also where shards are few or uneven. Each part passes a shuffle
    buffer. Everything follows from (seed, epoch, rank, worker): the same run gives the same samples
    with the same augmentation. Epochs follow each other without a gap and no batch is cut short;
    parts differ by one sample at most, so that after many epochs a process may be some samples
    ahead of another.

    **Resuming.** :meth:`start_at` goes to any batch without decoding what came before;
    ``ResumableIterTrainLoop`` calls it. It needs the same numbers of ranks and workers and the same
    batch size.

    **Damage.** A sample that cannot be read is counted in ``broken`` (url -> samples, in each
    loader process) and told once for its shard; another one of the shuffle buffer takes its place,
    so that the order of all others stays.

    In a data loader: ``sampler=None``, ``persistent_workers=False``.

    Args:
        shards: folder, pattern, tar, URL, or a list of these (see
            :func:`~mm3dpretrain.datasets.shard_index.read_shard_index`).
        index: where ``index.json`` lies if not beside the shards.
        shuffle: False reads shards and samples in the order of the index.
        shuffle_buffer: samples that each loader process keeps, undecoded, to draw from.
        seed: of orders and transforms; None takes the run's, in ``ResumableIterTrainLoop``, else 0.
        num_epochs: end after so many; None never ends, as training by iterations wants it.
        on_error: 'skip' as told above, or 'raise'.
        max_refetch: how many broken samples in a row are replaced before giving up.
        pipeline: transforms, or their configs.
        metainfo: overwrites what the index says.
        lazy_init: leave the index unread until it is needed.

    Raises:
        FileNotFoundError: if there is no index.
        ValueError: for wrong arguments, or fewer samples than loader processes.
        SampleError: if an index is damaged; with ``on_error='raise'`` for a broken sample.
        RuntimeError: if a whole part of an epoch has no readable sample.
    """

    METAINFO = dict(gravity_axis='none', normalization='none')

    def __init__(
        self,
        shards: str | Sequence[str],
        index: str | None = None,
        shuffle: bool = True,
        shuffle_buffer: int = 1024,
        seed: int | None = None,
        num_epochs: int | None = None,
        on_error: str = 'skip',
        max_refetch: int = 100,
        pipeline: Sequence[dict | Callable] = (),
        metainfo: Mapping | None = None,
        lazy_init: bool = False,
    ) -> None:
        if on_error not in ON_ERROR:
            raise ValueError(f'on_error must be one of {ON_ERROR}, got {on_error!r}')
        if shuffle_buffer < 1 or (num_epochs is not None and num_epochs < 1):
            raise ValueError(
                f'shuffle_buffer and num_epochs must be positive, got {shuffle_buffer} and '
                f'{num_epochs}'
            )
        self.shards = shards
        self.index_path = index
        self.shuffle = shuffle
        self.shuffle_buffer = shuffle_buffer
        self.seed = seed
        self.num_epochs = num_epochs
        self.on_error = on_error
        self.max_refetch = max_refetch
        self.pipeline = Compose(build_transforms(pipeline))
        self.broken: dict[str, int] = {}
        self._metainfo = dict(metainfo or {})
        self._first_batch, self._batch_size = 0, 1
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    # ------------------------------------------------------------------ set-up

    def full_init(self) -> None:
        """Read the index."""
        if self._fully_initialized:
            return
        self.index: ShardIndex = read_shard_index(self.shards, self.index_path)
        # loader processes know nothing of the ranks
        self.rank, self.world_size = get_dist_info()
        self._fully_initialized = True

    @property
    def metainfo(self) -> dict:
        """``gravity_axis``, ``normalization``, ``classes`` and all else that the index tells."""
        self.full_init()
        found = {key: value for key, value in self.index.info.items() if value is not None}
        if 'classes' in found:
            found['classes'] = tuple(found['classes'])
        return copy.deepcopy({**self.METAINFO, **found, **self._metainfo})

    @property
    def num_samples(self) -> int:
        """Samples of an epoch over all ranks."""
        self.full_init()
        return self.index.num_samples

    def __len__(self) -> int:
        """Samples of this rank; a number that no run reaches, where the stream does not end."""
        if self.num_epochs is None:
            return ENDLESS
        first, last = lane_bounds(self.num_samples, self.rank, self.world_size)
        return self.num_epochs * (last - first)

    def start_at(self, batch: int, batch_size: int) -> None:
        """Let the next iteration begin with batch ``batch`` (from 0) of this rank.

        Args:
            batch: as the data loader counts them, over all epochs.
            batch_size: of the data loader.

        Raises:
            ValueError: for negative numbers.
        """
        if batch < 0 or batch_size < 1:
            raise ValueError(f'batch {batch} of {batch_size} samples does not exist')
        self._first_batch, self._batch_size = batch, batch_size

    # ------------------------------------------------------------------ the stream

    def __iter__(self) -> Iterator[Any]:
        self.full_init()
        process = get_worker_info()
        number, workers = (process.id, process.num_workers) if process else (0, 1)
        # loader process 0 makes the first batch, so it takes the part whose turn it is
        part = (number + self._first_batch) % workers
        lane, lanes = self.rank * workers + part, self.world_size * workers
        first, last = lane_bounds(self.num_samples, lane, lanes)
        if first == last:
            raise ValueError(
                f'{self.num_samples} samples for {lanes} loader processes ({workers} in each of '
                f'{self.world_size} ranks): set num_workers lower'
            )
        done = batches_before(self._first_batch, part, workers) * self._batch_size
        epoch, start = divmod(done, last - first)
        while self.num_epochs is None or epoch < self.num_epochs:
            yield from self._iterate_epoch(epoch, lane, lanes, start)
            epoch, start = epoch + 1, 0

    def _iterate_epoch(self, epoch: int, lane: int, lanes: int, start: int) -> Iterator[Any]:
        seed = self.seed or 0
        pieces = lane_pieces(self.index.counts, lane, lanes, seed, epoch, self.shuffle)
        order = buffer_order(
            sum(piece.stop - piece.start for piece in pieces),
            self.shuffle_buffer if self.shuffle else 1,
            mix_seed(seed, epoch, lane),
        )
        gone = np.zeros(len(order), bool)
        gone[order[:start]] = True
        buffer = _Buffer(self._read(pieces, gone), gone)
        for step, head in enumerate(np.maximum.accumulate(order)[start:], start):
            buffer.fill(head)
            seed_transforms(mix_seed(seed, epoch, lane, step))
            yield self._prepare(buffer.take(order[step]), buffer)

    def _read(self, pieces: Sequence[Piece], gone: np.ndarray) -> Iterator[tuple | None]:
        """For every sample of a lane: (url, place, files), or None if it is gone or unreadable."""
        position = 0
        for piece in pieces:
            size = piece.stop - piece.start
            skipped = gone[position : position + size]
            position += size
            if skipped.all():
                yield from [None] * size
                continue
            url, place, lost, reason = self.index.urls[piece.shard], piece.start, 0, 'it ends early'

            def wanted(number: int, piece=piece, skipped=skipped) -> bool:
                return piece.start <= number < piece.stop and not skipped[number - piece.start]

            try:
                with closing(open_url(url)) as stream:
                    for number, files in iterate_shard(stream, wanted):
                        while place < number:
                            lost += not skipped[place - piece.start]
                            yield None
                            place += 1
                        yield url, number, files
                        place = number + 1
                        if place == piece.stop:
                            break
            except OSError as error:
                reason = str(error)
            lost += int((~skipped[place - piece.start :]).sum())
            if lost:
                self._count_broken(url, lost, reason if place < piece.stop else 'damaged headers')
            yield from [None] * (piece.stop - place)

    def _prepare(self, found: tuple | None, buffer: _Buffer) -> Any:
        """A sample after the pipeline, another one if it is broken."""
        for _ in range(self.max_refetch + 1):
            if found is not None:
                url, place, files = found
                try:
                    sample = self.pipeline(self._record(url, place, files))
                    buffer.good = found
                    return sample
                except (SampleError, ValueError, OSError) as error:
                    if self.on_error == 'raise':
                        raise SampleError(
                            f'{type(self).__name__}: sample {place} of {url}: {error}'
                        ) from error
                    buffer.forget(found)
                    self._count_broken(url, 1, str(error))
            elif self.on_error == 'raise':
                raise SampleError(f'{type(self).__name__}: unreadable shards: {self.broken}')
            found = buffer.another()
            if found is None:
                break
        raise RuntimeError(
            f'{type(self).__name__}: no readable sample follows; broken so far: {self.broken}'
        )

    def _record(self, url: str, place: int, files: Mapping[str, bytes]) -> dict:
        record = decode_sample(files, f'{url}[{place}]')
        points, channels = record['points'], self.index.info['point_channels']
        if points.ndim != 2 or points.shape[1] != len(channels):
            raise SampleError(f'points {points.shape}, but the index names {channels}')
        if self.index.info['classes'] is None:
            record['gt_label'] = -1
        record.setdefault('caption', [])
        if 'r' in channels:  # where LoadPoints(attributes=['rgb']) looks for colours
            first = channels.index('r')
            record['extra_columns'] = {'rgb': (first, first + 3)}
        info = self.index.info
        record.update(
            point_channels=channels,
            embed_dim=info['image_dim'] or info['text_dim'],
            embedding_key=info['embedding_key'],
            gravity_axis=self.index.info['gravity_axis'] or 'none',
            normalization=self.index.info['normalization'] or 'none',
        )
        return record

    def _count_broken(self, url: str, count: int, reason: str) -> None:
        if url not in self.broken:
            print_log(
                f'{type(self).__name__}: {url}: cannot read {count} samples ({reason}); others '
                'take their place. More of this shard are counted without a word.',
                logger='current',
                level=logging.WARNING,
            )
        self.broken[url] = self.broken.get(url, 0) + count

    def __repr__(self) -> str:
        return f'{type(self).__name__}(shards={self.shards!r})'


class _Buffer:
    """Samples that were read and wait for their turn, by their position in the lane."""

    def __init__(self, reader: Iterator[tuple | None], gone: np.ndarray) -> None:
        self.reader = reader
        self.gone = gone
        self.head = -1
        self.waiting: dict[int, tuple | None] = {}
        self.good: tuple | None = None

    def fill(self, head: int) -> None:
        """Read up to position ``head``."""
        while self.head < head:
            self._read_one()

    def _read_one(self) -> tuple | None:
        found = next(self.reader)
        self.head += 1
        if not self.gone[self.head]:
            self.waiting[self.head] = found
        return found

    def take(self, position: int) -> tuple | None:
        return self.waiting.pop(position)

    def forget(self, found: tuple) -> None:
        """A sample that turned out to be broken is no substitute any more."""
        for position, other in self.waiting.items():
            if other is found:
                self.waiting[position] = None

    def another(self) -> tuple | None:
        """A readable sample at random that stays in the buffer; else the next one, the last one."""
        readable = [found for found in self.waiting.values() if found is not None]
        if readable:
            return readable[np.random.randint(len(readable))]
        while self.head + 1 < len(self.gone):
            found = self._read_one()
            if found is not None:
                return found
        return self.good
