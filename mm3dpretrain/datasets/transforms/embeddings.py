"""Transforms of the embeddings and texts of a sample."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from ...registry import TRANSFORMS
from ..embedding_cache import EmbeddingCache
from ..io import SampleError
from .base import BaseTransform

#: modality -> rows of the record, draw probabilities, chosen row, flag
ROWS = {
    'image': ('image_features', 'image_weights', 'image_embeds', 'has_image'),
    'text': ('text_features', 'text_weights', 'text_embeds', 'has_text'),
}
PICKS = ('random', 'mean', 'first')


@TRANSFORMS.register_module()
class LoadEmbeddings(BaseTransform):
    """Embeddings of a sample's views and texts from a cache; no CLIP is needed.

    Adds ``image_features`` (V, D) and ``text_features`` (K, D) float16, each only where the sample
    has any; ``embed_dim``; and ``embedding_key``, the identity of the text space.

    Args:
        cache_dir: made by ``tools/precompute_embeddings.py``.
        key: identity of the teacher that the embeddings must come from; default any.

    Raises:
        FileNotFoundError: if there is no cache.
        ValueError: if it holds embeddings of another teacher than ``key``.
        SampleError: if the cache lacks the sample, or its texts have changed since.
    """

    def __init__(self, cache_dir: str, key: str | None = None) -> None:
        self.cache_dir = os.fspath(cache_dir)
        self.key = key
        self._cache: EmbeddingCache | None = None  # opened late: a config is built without files

    def transform(self, results: dict) -> dict:
        if self._cache is None:
            self._cache = EmbeddingCache(self.cache_dir)
            self._cache.check_key(self.key)
        image, text = self._cache.read(results)
        if len(image):
            results['image_features'] = image
        if len(text):
            results['text_features'] = text
        results['embed_dim'] = self._cache.embed_dim
        results['embedding_key'] = self._cache.text_identity
        return results

    def __getstate__(self) -> dict:
        # a worker process that is spawned maps the files itself
        return dict(self.__dict__, _cache=None)


@TRANSFORMS.register_module()
class PickEmbeddings(BaseTransform):
    """One image and one text embedding of each sample.

    Reads ``image_features`` (V, D) and ``text_features`` (K, D), where the sample has them, with
    draw probabilities ``image_weights`` (V,) and ``text_weights`` (K,), by default equal ones. Adds
    ``image_embeds`` and ``text_embeds`` (D,) float32 and the flags ``has_image`` and ``has_text``,
    float32 0 or 1; what a sample lacks is zeros.

    Args:
        pick: 'random' draws a row anew for every access; 'mean' is the mean of the unit rows, each
            with its draw probability; 'first' is row 0. The last two are for tests.
        embed_dim: D, needed where a sample without any embedding comes from no cache.

    Raises:
        ValueError: for another ``pick``.
        SampleError: for rows or probabilities of a wrong shape, or when D is not known.
    """

    def __init__(self, pick: str = 'random', embed_dim: int | None = None) -> None:
        if pick not in PICKS:
            raise ValueError(f'pick must be one of {PICKS}, got {pick!r}')
        self.pick = pick
        self.embed_dim = embed_dim

    def transform(self, results: dict) -> dict:
        found = {
            name: self._choose(results, *keys[:2])
            for name, keys in ROWS.items()
            if len(results.get(keys[0], ()))
        }
        width = self._width(results, found)
        for name, (*_, target, flag) in ROWS.items():
            results[target] = found.get(name, np.zeros(width, np.float32))
            results[flag] = np.float32(name in found)
        return results

    def _choose(self, results: dict, rows_key: str, weights_key: str) -> np.ndarray:
        rows, weights = results[rows_key], results.get(weights_key)
        if rows.ndim != 2:
            raise SampleError(f'{rows_key} must be (rows, D), got {rows.shape}')
        if weights is not None:
            weights = np.asarray(weights, np.float64)
            if weights.shape != (len(rows),) or (weights < 0).any() or weights.sum() <= 0:
                raise SampleError(
                    f'{weights_key} must be {len(rows)} probabilities, got {weights.tolist()}'
                )
            weights = weights / weights.sum()
        if self.pick == 'first':
            return rows[0].astype(np.float32)
        if self.pick == 'random':
            return rows[np.random.choice(len(rows), p=weights)].astype(np.float32)
        rows = rows.astype(np.float64)
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return np.average(unit, axis=0, weights=weights).astype(np.float32)

    def _width(self, results: dict, found: Mapping[str, np.ndarray]) -> int:
        widths = {len(row) for row in found.values()}
        widths |= {w for w in (self.embed_dim, results.get('embed_dim')) if w is not None}
        if len(widths) != 1:
            raise SampleError(
                f'embeddings of widths {sorted(widths)}: image, text and embed_dim must agree'
                if widths
                else 'the sample has no embedding: set embed_dim of PickEmbeddings'
            )
        return widths.pop()


@TRANSFORMS.register_module()
class TokenizeCaption(BaseTransform):
    """One caption of the sample as tokens, for a text tower that runs in the training.

    Adds ``text_tokens`` (L,) int64 and the flag ``has_text``, float32 0 or 1; a sample without a
    caption has the tokens of an empty text.

    Args:
        model: as for ``CLIPTeacher``: the name, or the dict with the ``context_length`` of its
            ``text_cfg``.
        pick: 'random' draws a caption anew for every access; 'first' takes the first one.

    Raises:
        ValueError: for another ``pick``, or a model without text.
        ImportError: if OpenCLIP is not installed.
    """

    def __init__(self, model: str | Mapping, pick: str = 'random') -> None:
        if pick not in ('random', 'first'):
            raise ValueError(f"pick must be 'random' or 'first', got {pick!r}")
        self.model = model
        self.pick = pick
        self._tokenizer = None

    def transform(self, results: dict) -> dict:
        if self._tokenizer is None:
            from mm3dpretrain.models.encoders.open_clip_models import build_tokenizer

            self._tokenizer = build_tokenizer(self.model)
        texts: Sequence[str] = results.get('caption') or ()
        index = np.random.randint(len(texts)) if texts and self.pick == 'random' else 0
        text = texts[index] if texts else ''
        results['text_tokens'] = self._tokenizer([text])[0].numpy()
        results['has_text'] = np.float32(bool(texts))
        return results

    def __getstate__(self) -> dict:
        return dict(self.__dict__, _tokenizer=None)
