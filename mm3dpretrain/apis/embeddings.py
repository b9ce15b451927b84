"""Embeddings of whole data sets by a frozen CLIP or a bank of texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from mmengine.config import Config
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from mm3dpretrain.datasets.embedding_cache import (
    TEXT_SOURCES,
    EmbeddingWriter,
    stable_hash,
    texts_of,
)
from mm3dpretrain.datasets.io import SampleError
from mm3dpretrain.datasets.transforms import LoadView
from mm3dpretrain.models.encoders import CLIPTeacher
from mm3dpretrain.registry import MODELS


@dataclass
class EmbeddingReport:
    """What became of the samples.

    Attributes:
        computed: new in the cache.
        known: were there already.
        without_image: of the computed ones, those without any view.
        without_text: of the computed ones, those without a text that the space knows.
        failed: sample id -> why it was left out.
        unknown_texts: texts that the space does not have.
    """

    computed: int = 0
    known: int = 0
    without_image: int = 0
    without_text: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    unknown_texts: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        return (
            f'{self.computed} samples computed, {self.known} were there, {len(self.failed)} left '
            f'out; of the computed ones {self.without_image} have no view, {self.without_text} no '
            f'text, {len(self.unknown_texts)} texts are unknown to the text space'
        )


def build_teachers(
    config: Config, weights: str | None = None, device: str | torch.device = 'cpu'
) -> tuple[nn.Module | None, nn.Module | None]:
    """Image teacher and text space of a config.

    Args:
        config: with ``teacher`` (a ``CLIPTeacher``) and/or ``text_space``; one that encodes both
            pictures and texts does so where it stands alone. Or the config that trained a
            ``CLIPPretrainer``, which is then the teacher.
        weights: of the teacher, instead of those that the config names; for a ``CLIPPretrainer``
            its checkpoint.
        device: where they go.

    Returns:
        (image teacher or None, text space or None), not both None.

    Raises:
        ValueError: if the config has neither, or a trained CLIP comes without its checkpoint.
    """
    teacher, space = config.get('teacher'), config.get('text_space')
    model = config.get('model') or {}
    if teacher is None and model.get('type') == 'CLIPPretrainer':
        if weights is None:
            raise ValueError('a CLIPPretrainer needs the checkpoint of its training as weights')
        pixels = model.get('data_preprocessor') or {}
        teacher = dict(
            type='CLIPTeacher',
            model=model['model'],
            prefix='clip',
            pixel_mean=pixels.get('mean', [0.0] * 3),
            pixel_std=pixels.get('std', [1.0] * 3),
        )
        space = space or model.get('text_space')
    if teacher is None and space is None:
        raise ValueError(
            "the config has neither teacher=dict(type='CLIPTeacher', ...) nor text_space=..."
        )
    new = {} if weights is None else dict(weights=weights)
    if teacher is not None:
        teacher = MODELS.build(dict(teacher, **new)).to(device)
        teacher.ensure_loaded()
        new = {}
    if space is not None:
        space = MODELS.build(dict(space, **new)).to(device)
    if space is None and teacher.has_text:
        space = teacher
    if teacher is None and hasattr(space, 'encode_image'):
        teacher = space
    return teacher, space


def embed_dataset(
    dataset: Dataset,
    folder: str | os.PathLike,
    teacher: CLIPTeacher | None,
    space: nn.Module | None,
    sources: Sequence[str] = ('caption',),
    background: Sequence[int] | None = (255, 255, 255),
    shard_size: int = 1024,
    batch_size: int = 64,
    num_workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> EmbeddingReport:
    """Write the embeddings of all views and texts of a data set; what is there is kept.

    Args:
        dataset: of records (:class:`~mm3dpretrain.datasets.base_shape.BaseShapeDataset`), or a
            concatenation of such.
        folder: of the cache.
        teacher: of the views; None for texts only.
        space: of the texts; None for views only.
        sources: of the texts, see :func:`~mm3dpretrain.datasets.embedding_cache.texts_of`.
        background: RGB behind transparent views, or None.
        shard_size: samples of a shard; a run that is killed loses at most that many.
        batch_size: views at a time.
        num_workers: processes that read views.
        progress: called with (done, total).

    Returns:
        Counts.

    Raises:
        ValueError: for sample ids that occur twice, a folder with embeddings of another teacher,
            widths that differ, or a data set without records.
    """
    unknown = sorted(set(sources) - set(TEXT_SOURCES))
    if unknown or not sources:
        raise ValueError(f'sources of texts are {TEXT_SOURCES}, got {list(sources)}')
    if batch_size < 1:
        raise ValueError(f'batch_size must be positive, got {batch_size}')
    views = _Views(dataset, sources, background if teacher is not None else False)
    ids = views.sample_ids()
    writer = EmbeddingWriter(folder, cache_content(teacher, space, background), shard_size)
    todo = [index for index, name in enumerate(ids) if name not in writer]
    report = EmbeddingReport(known=len(ids) - len(todo))
    loader = DataLoader(views, 1, sampler=todo, num_workers=num_workers, collate_fn=_only)
    texts_known: dict[str, np.ndarray | None] = {}
    try:
        for batch in _batches(loader, batch_size):
            good = [sample for sample in batch if 'error' not in sample]
            report.failed.update({s['id']: s['error'] for s in batch if 'error' in s})
            images = _encode_views(
                [s['views'] for s in good], teacher, writer.embed_dim, batch_size
            )
            _learn_texts([t for s in good for t in s['texts']], space, texts_known)
            for sample, image in zip(good, images):
                rows = [texts_known[t] for t in sample['texts']]
                report.unknown_texts.update(t for t, r in zip(sample['texts'], rows) if r is None)
                rows = [row for row in rows if row is not None]
                text = np.stack(rows) if rows else np.zeros((0, writer.embed_dim), np.float32)
                writer.add(sample['id'], image, text, sample['texts'], sample['source'])
                report.computed += 1
                report.without_image += not len(image)
                report.without_text += not len(text)
            if len(texts_known) > 100_000:  # captions hardly repeat, names of classes do
                texts_known.clear()
            if progress is not None:
                progress(report.computed + len(report.failed), len(todo))
    finally:
        writer.flush()
    return report


def cache_content(teacher, space, background: Sequence[int] | None) -> dict:
    """What a cache depends on, see :class:`~mm3dpretrain.datasets.embedding_cache.EmbeddingWriter`.

    Raises:
        ValueError: if images and texts have embeddings of different width, or there are neither.
    """
    widths = {s.embed_dim for s in (teacher, space) if s is not None}
    if len(widths) != 1:
        raise ValueError(f'image and text embeddings must have one width, got {sorted(widths)}')
    parts = {}
    for name, source, extra in (
        ('image', teacher, dict(background=background and list(background))),
        ('text', space, {}),
    ):
        if source is None:
            parts[name] = None
            continue
        about = dict(source.describe(), **extra)
        key = f'{stable_hash(source.identity, repr(sorted(about.items()))):016x}'
        parts[name] = dict(key=key, identity=source.identity, teacher=about)
    return dict(embed_dim=widths.pop(), **parts)


class _Views(Dataset):
    """Views and texts of the records of a data set, without its pipeline.

    Args:
        dataset: of records.
        sources: of texts.
        background: of views; False loads none.
    """

    def __init__(self, dataset: Dataset, sources: Sequence[str], background) -> None:
        self.dataset = dataset
        self.sources = tuple(sources)
        self.background = background
        self.leaves = list(_leaves(dataset))
        self.ends = np.cumsum([len(leaf) for leaf in self.leaves])
        lacking = [type(d).__name__ for d in self.leaves if not hasattr(d, 'get_data_info')]
        if lacking:
            raise ValueError(f'{lacking} have no records to read: give a data set with an index')

    def __len__(self) -> int:
        return int(self.ends[-1])

    def record(self, index: int) -> tuple[dict, Sequence[str]]:
        """A record and the texts of the classes of its data set."""
        number = int(np.searchsorted(self.ends, index, side='right'))
        leaf = self.leaves[number]
        start = self.ends[number - 1] if number else 0
        classes = leaf.metainfo.get('class_texts') or leaf.metainfo.get('classes') or ()
        return leaf.get_data_info(int(index - start)), classes

    def sample_ids(self) -> list[str]:
        """All ids.

        Raises:
            ValueError: if one occurs twice.
        """
        places: dict[str, int] = {}
        for index in range(len(self)):
            name = self.record(index)[0]['sample_id']
            if name in places:
                raise ValueError(
                    f'the sample id {name!r} occurs twice (samples {places[name]} and {index}): '
                    'embeddings are found by the id, so write one cache for each data set'
                )
            places[name] = index
        return list(places)

    def __getitem__(self, index: int) -> dict:
        record, classes = self.record(index)
        texts, source = texts_of(record, self.sources, classes)
        sample = dict(id=record['sample_id'], texts=texts, source=source, views=None)
        try:
            if self.background is not False:
                sample['views'] = read_all_views(record, self.background)
        except (SampleError, OSError, ValueError) as error:
            sample['error'] = str(error)
        return sample


def read_all_views(record: Mapping, background: Sequence[int] | None) -> np.ndarray | None:
    """(V, H, W, 3) uint8 of all views of a record, in order; None where it has none.

    Raises:
        SampleError: if a view is damaged, or they differ in size.
    """
    if 'views_path' in record:
        from mm3dpretrain.datasets.transforms.loading import read_views

        return np.array(read_views(record['views_path'], record['views_index']))
    count = len(record.get('img_paths') or ())
    if not count:
        return None
    load = LoadView(count, 'first', background, load_cameras=False)
    views = load(dict(record))['img']
    return views[None] if count == 1 else views


def _only(samples: list[dict]) -> dict:
    """The sample of a batch of one: views differ in number and size."""
    return samples[0]


def _leaves(dataset: Dataset) -> Iterator[Dataset]:
    """The data sets of nested concatenations, in order."""
    if isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            yield from _leaves(part)
    else:
        yield dataset


def _batches(loader: DataLoader, batch_size: int) -> Iterator[list[dict]]:
    """Samples whose views are at least ``batch_size`` together."""
    batch, count = [], 0
    for sample in loader:
        batch.append(sample)
        count += max(1, 0 if sample['views'] is None else len(sample['views']))
        if count >= batch_size:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _encode_views(
    views: Sequence[np.ndarray | None], teacher: CLIPTeacher | None, width: int, batch_size: int
) -> list[np.ndarray]:
    """(V_i, D) of each sample's views."""
    counts = [0 if v is None else len(v) for v in views]
    rows = np.zeros((0, width), np.float32)
    if sum(counts):
        # pictures may differ in size between samples: each is brought to the teacher's size alone
        img = torch.cat([teacher.preprocess(v) for v in views if v is not None])
        rows = torch.cat([teacher.encode_image(part) for part in img.split(batch_size)])
        rows = rows.cpu().numpy()
    return np.split(rows, np.cumsum(counts)[:-1]) if counts else []


def _learn_texts(texts: Sequence[str], space, known: dict[str, np.ndarray | None]) -> None:
    """Add the embeddings of new texts; None for those that the space does not have."""
    if space is None:
        known.update(dict.fromkeys(texts))
        return
    new = [text for text in dict.fromkeys(texts) if text not in known]
    if hasattr(space, 'missing'):
        lost = set(space.missing(new))
        known.update(dict.fromkeys(lost))
        new = [text for text in new if text not in lost]
    if new:
        known.update(zip(new, space.encode_texts(new).float().cpu().numpy()))
