"""Text embeddings of classes on disk: what zero-shot classification compares shapes with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .io import READ_ERRORS, SampleError, atomic_path


@dataclass(frozen=True)
class ClassEmbeddings:
    """One text embedding a class, in the order of its names.

    Attributes:
        names: C class names, all different.
        embeddings: (C, D) float32, unit length.
        meta: where they come from, plain JSON: ``model``, ``key`` (identity of the weights),
            ``prompts`` (name of the templates), ``num_templates``, whatever else is known.

    Raises:
        ValueError: for no class, names that repeat, another shape, or rows that are not finite or
            not of unit length (:func:`average_prompts` makes such rows).
    """

    names: tuple[str, ...]
    embeddings: np.ndarray
    meta: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in self.names)
        values = np.asarray(self.embeddings, np.float32)
        if not names:
            raise ValueError('class embeddings need at least one class')
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f'class names must differ, these repeat: {_some(repeated)}')
        if values.ndim != 2 or len(values) != len(names) or values.shape[1] == 0:
            raise ValueError(
                f'embeddings of {len(names)} classes must be ({len(names)}, D), got {values.shape}'
            )
        length = np.linalg.norm(values.astype(np.float64), axis=1)
        wrong = ~(np.abs(length - 1) < 1e-2)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f'embedding of class {names[row]!r} has length {length[row]:.4g}, unit length '
                'wanted: average_prompts makes class embeddings of text features'
            )
        object.__setattr__(self, 'names', names)
        # half-precision files give lengths such as 0.9998
        object.__setattr__(self, 'embeddings', (values / length[:, None]).astype(np.float32))

    @property
    def dim(self) -> int:
        """Width D of the embeddings."""
        return self.embeddings.shape[1]

    def select(self, names: Sequence[str]) -> ClassEmbeddings:
        """The classes of the given names, in that order.

        Raises:
            ValueError: for no name, or names that are not there; it lists both sides.
        """
        index = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in index]
        if missing:
            spare = [name for name in self.names if name not in set(names)]
            raise ValueError(
                f'no embeddings of the classes {_some(missing)}; embeddings that no class asked '
                f'for: {_some(spare)}'
            )
        rows = [index[name] for name in names]
        return ClassEmbeddings(tuple(names), self.embeddings[rows], dict(self.meta))


def average_prompts(features: np.ndarray) -> np.ndarray:
    """Class embedding of the filled templates of one class: mean of unit vectors, then unit length.

    This is the prompt ensemble of CLIP, as ULIP and OpenShape use it: every template counts alike,
    however long its text feature is.

    Args:
        features: (K, D) text features of any length, K >= 1.

    Returns:
        (D,) float32, unit length.

    Raises:
        ValueError: for no templates, features that are zero or not finite, or a mean of zero.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or len(features) == 0:
        raise ValueError(f'text features must be (K, D) with K >= 1, got {features.shape}')
    length = np.linalg.norm(features, axis=1, keepdims=True)
    if not np.isfinite(length).all() or (length == 0).any():
        raise ValueError('a text feature is zero or not finite')
    mean = (features / length).mean(0)
    if np.linalg.norm(mean) < 1e-9:
        raise ValueError('the text features of one class cancel out')
    return (mean / np.linalg.norm(mean)).astype(np.float32)


def class_words(meta: Mapping) -> dict[str, str]:
    """Name of each class of a data set -> the words that stand for it in a text.

    Args:
        meta: meta information with ``classes`` and maybe ``class_texts``; without these, blanks
            take the place of underscores ('night_stand').
    """
    names = list(meta['classes'])
    texts = meta.get('class_texts') or [name.replace('_', ' ') for name in names]
    return dict(zip(names, texts))


def write_class_embeddings(path: str | os.PathLike, value: ClassEmbeddings) -> None:
    """Store class embeddings as ``.npz`` without Python objects, completely or not at all.

    Raises:
        ValueError: for another suffix.
        TypeError: for a ``meta`` that is no plain JSON.
    """
    if not os.fspath(path).endswith('.npz'):
        raise ValueError(f'class embeddings are .npz files, got {os.fspath(path)!r}')
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            names=np.array(value.names, dtype=np.str_),
            embeddings=value.embeddings,
            meta=np.array(json.dumps(value.meta)),
        )


def read_class_embeddings(path: str | os.PathLike) -> ClassEmbeddings:
    """Read what :func:`write_class_embeddings` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        SampleError: if it is damaged or something else.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'class embeddings {path!r} do not exist: write them with write_class_embeddings'
        )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = tuple(str(name) for name in arrays['names'])
            return ClassEmbeddings(names, arrays['embeddings'], json.loads(str(arrays['meta'])))
    except (*READ_ERRORS, KeyError, TypeError) as error:
        raise SampleError(f'{path}: not a file of class embeddings ({error})') from error


def _some(names: Sequence[str], most: int = 8) -> str:
    """The first few of many names."""
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return str(list(names)[:most]) + more
