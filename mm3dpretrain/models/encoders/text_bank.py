"""Text embeddings that were computed elsewhere, by name."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor

from mm3dpretrain.datasets.io import SampleError, missing_root_error, read_npy
from mm3dpretrain.registry import MODELS

LAYOUT = """\
  <data_root>/merged.npy       (M, D) float16 or float32
  <data_root>/names.json       {"merged": [M names]}
  <data_root>/class_map.json   {set: {class: [names] or null}} (optional)"""
#: what an embedding is of, for the name {}
ARTICLES = ('a ', 'an ')


@MODELS.register_module()
class TextBank(BaseModule):
    """A text space of which only some embeddings are known: no text tower is needed.

    Its rows are embeddings of "a {name}" by a real CLIP; a text is found by its name, with or
    without the article. The classes of a data set stand for one or several names: their embedding
    is the mean of the names' unit vectors.

    The embeddings of a CLIP fill a narrow cone (cosines of any two names are about 0.75 to 0.95).
    ``center`` subtracts the mean of all rows before the length is made 1, which spreads them over
    the sphere; image embeddings of the same CLIP would not fit any more.

    Args:
        data_root: folder with ``merged.npy``, ``names.json`` and ``class_map.json``.
        class_set: entry of ``class_map.json`` whose classes are known besides the names, such as
            'shapes69'; a class comes before a name that is spelled the same.
        center: see above.

    Raises:
        FileNotFoundError: when a file that is needed is not there (they are read at first use).
        SampleError: if a file is damaged.
        ValueError: for a class set that does not exist.
    """

    has_text = True

    def __init__(
        self, data_root: str | os.PathLike, class_set: str | None = None, center: bool = False
    ) -> None:
        super().__init__()
        self.data_root = os.fspath(data_root)
        self.class_set = class_set
        self.center = center

    # ---------------------------------------------------------------- the text space

    @property
    def embed_dim(self) -> int:
        """Width D of the embeddings."""
        return self._bank[1].shape[1]

    @cached_property
    def identity(self) -> str:
        """A hash of the names and their embeddings; the classes do not count."""
        names, vectors = self._bank
        digest = hashlib.sha256(json.dumps([names, self.center]).encode())
        digest.update(vectors.tobytes())
        return digest.hexdigest()[:16]

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of classes, names, or names with an article.

        Returns:
            (K, D) float32, unit length.

        Raises:
            ValueError: for texts that the bank does not have, each with near names.
        """
        missing = self.missing(texts)
        if missing:
            hints = [f'{text!r} {self._hint(text)}' for text in missing[:8]]
            more = f' and {len(missing) - 8} more' if len(missing) > 8 else ''
            raise ValueError(
                f'{self.data_root} has no embedding of {"; ".join(hints)}{more}. A bank knows '
                "single names ('plain' and 'a' are its prompts) and no sentences"
            )
        rows = [self._row(text) for text in texts]
        return torch.from_numpy(np.stack(rows)) if rows else torch.zeros(0, self.embed_dim)

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Which texts the bank does not have, among them classes without an honest match."""
        return [text for text in texts if self._names_of(text) is None]

    def describe(self) -> dict:
        """What the embeddings depend on, as plain data."""
        return dict(type='TextBank', class_set=self.class_set, center=self.center)

    # ---------------------------------------------------------------- look-up

    def _names_of(self, text: str) -> list[str] | None:
        """The names that a text stands for."""
        for candidate in (text, *(text.removeprefix(article) for article in ARTICLES)):
            if candidate in self._classes:
                return self._classes[candidate]
            if candidate in self._rows:
                return [candidate]
        return None

    def _row(self, text: str) -> np.ndarray:
        names = self._names_of(text)
        mean = self._unit[[self._rows[name] for name in names]].mean(0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)

    def _hint(self, text: str) -> str:
        if text in self._classes:
            return f'(a class of {self.class_set!r} without a matching name)'
        known = [*self._classes, *self._rows]
        return f'(near: {difflib.get_close_matches(text, known, 3, 0.5)})'

    # ---------------------------------------------------------------- files

    def _file(self, name: str) -> Path:
        path = Path(self.data_root) / name
        if not path.is_file():
            raise missing_root_error('TextBank', path, LAYOUT, 'the folder MM3D_DATA names')
        return path

    def _json(self, name: str) -> dict:
        path = self._file(name)
        try:
            return dict(json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise SampleError(f'{path} is damaged: {error}') from error

    @cached_property
    def _bank(self) -> tuple[list[str], np.ndarray]:
        names = self._json('names.json').get('merged')
        path = self._file('merged.npy')
        vectors = read_npy(path)
        if not isinstance(names, list) or vectors.ndim != 2 or len(names) != len(vectors):
            raise SampleError(
                f'{path}: embeddings {vectors.shape} do not belong to the names of names.json'
            )
        length = np.linalg.norm(vectors.astype(np.float32), axis=1)
        if not np.isfinite(length).all() or not length.all():
            raise SampleError(f'{path}: an embedding is zero or not finite')
        return names, np.ascontiguousarray(vectors)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in reversed(list(enumerate(self._bank[0])))}

    @cached_property
    def _unit(self) -> np.ndarray:
        unit = self._bank[1].astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        if self.center:
            unit -= unit.mean(0)
            unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        return unit

    @cached_property
    def _classes(self) -> dict[str, list[str] | None]:
        if self.class_set is None:
            return {}
        sets = self._json('class_map.json')
        if self.class_set not in sets:
            raise ValueError(
                f'class_map.json of {self.data_root} has no set {self.class_set!r}, it has '
                f'{list(sets)}'
            )
        classes = {
            name: list(found) if found else None for name, found in sets[self.class_set].items()
        }
        lost = sorted({n for found in classes.values() for n in found or () if n not in self._rows})
        if lost:
            raise SampleError(f'class_map.json of {self.data_root}: no embeddings of {lost}')
        return classes
