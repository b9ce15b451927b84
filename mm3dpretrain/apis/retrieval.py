"""Which of my shapes looks like this text, this picture, this shape?"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from torch import nn
from torch.utils.data import Dataset

from mm3dpretrain.datasets.class_embeddings import average_prompts
from mm3dpretrain.datasets.io import READ_ERRORS, SampleError, atomic_path, read_image
from mm3dpretrain.datasets.prompts import Prompts, build_prompts
from mm3dpretrain.datasets.user_folder import UserFolder

from .features import build_dataset, isolated_rng, iterate_batches
from .shape_encoder import Shape, ShapeEncoder
from .zero_shot import as_encoder, build_text_space, check_space

#: rows of the index that are compared in float32 at a time
CHUNK = 16384


@dataclass(frozen=True)
class ShapeIndex:
    """Embeddings of many shapes, to be searched.

    Attributes:
        ids: n names, all different: paths in the folder, or ``sample_id`` of the data set.
        embeddings: (n, D) float16, unit length.
        meta: plain JSON: ``key`` of the teacher where it is known, ``gravity_axis``, ``folder``
            and ``up_axis`` of files, or ``dataset``; ``skipped`` broken files.

    Raises:
        ValueError: for no shape, names that repeat, or embeddings of another shape.
    """

    ids: tuple[str, ...]
    embeddings: np.ndarray
    meta: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.ids:
            raise ValueError('an index needs at least one shape')
        if len(set(self.ids)) != len(self.ids):
            raise ValueError('the names of the shapes in an index must differ')
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.ids):
            raise ValueError(
                f'{len(self.ids)} shapes, but embeddings of shape {self.embeddings.shape}'
            )

    def search(self, query: np.ndarray, topk: int = 5) -> list[tuple[str, float]]:
        """The most similar shapes, best first; equally similar ones in the order of the index.

        Memory stays small whatever the size of the index.

        Args:
            query: (D,) of any length but zero.
            topk: how many, at most.

        Returns:
            (name, cosine) of each.

        Raises:
            ValueError: for a query of another width, that is zero or not finite, or ``topk`` < 1.
        """
        query = np.asarray(query, np.float32).reshape(-1)
        if len(query) != self.embeddings.shape[1]:
            raise ValueError(
                f'the query has width {len(query)}, the index {self.embeddings.shape[1]}: it must '
                'come from the model and teacher that made the index'
            )
        length = float(np.linalg.norm(query))
        if not 0 < length < np.inf:
            raise ValueError('the embedding of the query is zero or not finite')
        if topk < 1:
            raise ValueError(f'topk must be positive, got {topk}')
        scores = np.concatenate(
            [
                self.embeddings[start : start + CHUNK].astype(np.float32) @ (query / length)
                for start in range(0, len(self.ids), CHUNK)
            ]
        )
        best = np.argsort(-scores, kind='stable')[:topk]
        return [(self.ids[i], float(scores[i])) for i in best]


def write_index(path: str | os.PathLike, index: ShapeIndex) -> None:
    """Store an index as ``.npz`` without Python objects, completely or not at all.

    Raises:
        ValueError: for another suffix.
    """
    if not os.fspath(path).endswith('.npz'):
        raise ValueError(f'indices are .npz files, got {os.fspath(path)!r}')
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            ids=np.array(index.ids, dtype=np.str_),
            shape_embeddings=index.embeddings,
            meta=np.array(json.dumps(index.meta)),
        )


def read_index(path: str | os.PathLike) -> ShapeIndex:
    """Read what :func:`write_index` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        SampleError: if it is damaged or something else.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'no index {path!r}: make it with tools/retrieve.py index')
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids = tuple(str(name) for name in arrays['ids'])
            return ShapeIndex(ids, arrays['shape_embeddings'], json.loads(str(arrays['meta'])))
    except (*READ_ERRORS, KeyError, TypeError) as error:
        raise SampleError(f'{path}: not an index of shapes ({error})') from error


class Retriever:
    """Finds shapes by text, picture or shape.

    Examples::

        retriever = Retriever('epoch_20.pth', text_space=dict(type='CLIPTeacher', ...))
        index = retriever.index('my_meshes/')
        retriever.query(index, text='a red chair')   # [('a/chair_03.obj', 0.31), ...]

    Args:
        model: checkpoint, model or :class:`ShapeEncoder`; queries of a finished index by text or
            picture need none.
        text_space: see :func:`~mm3dpretrain.apis.build_text_space`; for queries by text, and by
            picture where it has an image tower (``CLIPTeacher``).
        **kwargs: see :class:`ShapeEncoder`.

    Raises:
        ValueError: if the text space is not that of the model.
    """

    def __init__(
        self,
        model: str | os.PathLike | nn.Module | ShapeEncoder | None = None,
        text_space: str | os.PathLike | Mapping | nn.Module | None = None,
        **kwargs,
    ) -> None:
        if model is None and kwargs:
            raise ValueError(f'{sorted(kwargs)} belong to a model: give one')
        self._encoder = None if model is None else as_encoder(model, **kwargs)
        self.text_space = None if text_space is None else build_text_space(text_space)
        if None not in (self._encoder, self.text_space):
            check_space(self._encoder, self.text_space)

    @property
    def encoder(self) -> ShapeEncoder:
        """Of shapes.

        Raises:
            ValueError: if there is no model.
        """
        if self._encoder is None:
            raise ValueError('shapes can only be embedded with a model: give a checkpoint')
        return self._encoder

    # ---------------------------------------------------------------- indices

    def index(
        self,
        shapes: str | os.PathLike | Mapping | Dataset,
        up_axis: str | None = None,
        num_workers: int = 0,
    ) -> ShapeIndex:
        """Embed many shapes.

        Args:
            shapes: a folder of mesh or cloud files, with sub-folders; or a data set or its config,
                whose pipeline then prepares the shapes.
            up_axis: of files, see :meth:`ShapeEncoder.prepare`.
            num_workers: loader processes, for a data set.

        Returns:
            The index. Broken files are left out; each is logged, and ``meta['skipped']`` counts
            them.

        Raises:
            FileNotFoundError: for a folder without such files.
            SampleError: if all files are broken, or a sample of a data set is.
        """
        if isinstance(shapes, (str, os.PathLike)):
            return self._index_folder(Path(shapes), up_axis)
        if up_axis is not None:
            raise ValueError('up_axis turns files: the pipeline of a data set turns its shapes')
        return self._index_dataset(build_dataset(shapes), num_workers)

    def _index_folder(self, folder: Path, up_axis: str | None) -> ShapeIndex:
        # its list of files, not its points: each file is prepared as a single query would be
        files = UserFolder(str(folder), cache_dir=None)
        paths = [files.get_data_info(i)['points_path'] for i in range(len(files))]
        ids, rows, broken = [], [], 0
        for path in paths:
            try:
                rows.append(self.encoder.encode(path, up_axis)[0])
                ids.append(os.path.relpath(path, folder))
            except SampleError as error:
                broken += 1
                print_log(f'left out: {error}', logger='current', level=logging.WARNING)
        if not ids:
            raise SampleError(f'{folder}: all {len(paths)} files are broken')
        return self._pack(ids, np.stack(rows), folder=str(folder), up_axis=up_axis, skipped=broken)

    def _index_dataset(self, dataset: Dataset, num_workers: int) -> ShapeIndex:
        ids, parts = [], []
        with isolated_rng(self.encoder.seed):
            for batch in iterate_batches(
                dataset, self.encoder.batch_size, self.encoder.seed, num_workers
            ):
                parts.append(self.encoder.embed(batch))
                ids += [str(sample.get('sample_id')) for sample in batch['data_samples']]
        return self._pack(ids, np.concatenate(parts), dataset=str(dataset), skipped=0)

    def _pack(self, ids: list[str], embeddings: np.ndarray, **meta) -> ShapeIndex:
        if not np.isfinite(embeddings).all():
            raise ValueError('an embedding is not finite: did the training diverge?')
        meta = dict(key=self.encoder.embedding_key, gravity_axis=self.encoder.gravity_axis, **meta)
        return ShapeIndex(tuple(ids), embeddings.astype(np.float16), meta)

    # ---------------------------------------------------------------- queries

    def query(
        self,
        index: ShapeIndex | str | os.PathLike,
        text: str | None = None,
        image: str | os.PathLike | np.ndarray | None = None,
        shape: Shape | None = None,
        topk: int = 5,
        prompts: str | Sequence[str] | Prompts = 'plain',
        up_axis: str | None = None,
    ) -> list[tuple[str, float]]:
        """The most similar shapes of an index.

        Args:
            index: an index or its file.
            text: what to look for; or
            image: a picture file or (H, W, 3) uint8 RGB; or
            shape: see :meth:`ShapeEncoder.prepare`. Exactly one of the three.
            topk: how many, at most.
            prompts: templates around the text; default it is taken as it is.
            up_axis: of ``shape``.

        Returns:
            (name, cosine) of each, best first.

        Raises:
            ValueError: for none or several of the three, a query that the text space cannot embed,
                or an index of another space.
        """
        if sum(given is not None for given in (text, image, shape)) != 1:
            raise ValueError('give one of text, image and shape')
        if not isinstance(index, ShapeIndex):
            index = read_index(index)
        if self._encoder is not None:
            key = index.meta.get('key')
            self._encoder.check_teacher('the index', index.embeddings.shape[1], key)
        if shape is not None:
            return index.search(self.encoder.encode([shape], up_axis)[0], topk)
        if self.text_space is None:
            raise ValueError('a query by text or picture needs text_space')
        key = index.meta.get('key')
        if key is not None and key != self.text_space.identity:
            raise ValueError(
                f'the index is of the teacher {key}, the text space is '
                f'{self.text_space.identity}: their spaces have nothing in common'
            )
        if text is not None:
            return index.search(self._embed_text(text, build_prompts(prompts)), topk)
        return index.search(self._embed_image(image), topk)

    def _embed_text(self, text: str, prompts: Prompts) -> np.ndarray:
        return average_prompts(self.text_space.encode_texts(prompts.fill(text)).cpu().numpy())

    def _embed_image(self, image: str | os.PathLike | np.ndarray) -> np.ndarray:
        if not hasattr(self.text_space, 'encode_image'):
            raise ValueError(
                'a query by picture needs a text_space with an image tower, such as CLIPTeacher'
            )
        picture = image if isinstance(image, np.ndarray) else read_image(image)
        img = self.text_space.preprocess(picture[None])
        return self.text_space.encode_image(img)[0].cpu().numpy()
