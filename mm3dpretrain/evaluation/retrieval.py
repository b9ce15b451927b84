"""Retrieval between shapes, images and texts in one space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mm3dpretrain.registry import METRICS

from .result_file import describe_sample, summarize_samples, write_result
from .zero_shot import TIE

#: direction -> modalities of query and gallery: p shapes, i images, t texts
DIRECTIONS = {'p2i': ('p', 'i'), 'p2t': ('p', 't'), 'i2p': ('i', 'p'), 't2p': ('t', 'p')}
#: modality -> all rows in the data sample, one row in the inputs, flag of those that have it
SOURCES = {
    'i': ('image_features', 'image_embeds', 'has_image'),
    't': ('text_features', 'text_embeds', 'has_text'),
}
#: similarities held at a time: 64 MB of float32
BLOCK = 1 << 24


def first_ranks(
    queries: Tensor, gallery: Tensor, pairs: Tensor, block: int = BLOCK
) -> tuple[Tensor, Tensor]:
    """Rank of the first right item of every query, by cosine similarity.

    Right items do not stand in each other's way: the rank is 1 plus the number of *wrong* items at
    least as similar as the best right one. Wrong ones that are equally similar (within
    :data:`~mm3dpretrain.evaluation.zero_shot.TIE`) come first.

    Args:
        queries: (Q, D), unit length.
        gallery: (G, D), unit length.
        pairs: (R, 2) int64, which item (second column) is right for which query (first column);
            each pair once.
        block: similarities that are held at a time; memory is about 6 bytes times this, beside the
            inputs.

    Returns:
        The queries that have a right item (Q',) int64, ascending, and their ranks (Q',) int64
        from 1.

    Raises:
        ValueError: if widths differ, a similarity is not finite, or no query has a right item.
    """
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f'queries of width {queries.shape[1]} and a gallery of width {gallery.shape[1]} are '
            'not of one space'
        )
    if not len(pairs):
        raise ValueError('no query has a right item')
    device = queries.device
    gallery = gallery.to(device).float().T
    pairs = pairs.to(device)
    pairs = pairs[pairs[:, 0].argsort(stable=True)]
    asked, row = pairs[:, 0].unique_consecutive(return_inverse=True)
    ranks = torch.empty(len(asked), dtype=torch.int64, device=device)
    step = max(1, block // max(1, gallery.shape[1]))
    for start in range(0, len(asked), step):
        part = asked[start : start + step]
        similarity = queries[part].float() @ gallery
        if not torch.isfinite(similarity.sum()):
            raise ValueError('an embedding is not finite: did the training diverge?')
        low, high = torch.searchsorted(
            row, torch.tensor([start, start + len(part)], device=device)
        ).tolist()
        at, item = row[low:high] - start, pairs[low:high, 1]
        # from the same product as the others: another order of summation would break ties
        right = similarity[at, item]
        best = torch.full((len(part),), -torch.inf, device=device)
        best.scatter_reduce_(0, at, right, 'amax')
        # right items never count, whatever their similarity
        similarity[at, item] = -torch.inf
        ranks[start : start + len(part)] = 1 + (similarity >= best[:, None] - TIE).sum(1)
    return asked, ranks


def merge_equal(embeddings: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Items with the same embedding become one item that belongs to all their shapes.

    Many objects share a caption word for word. As items of their own, each would be a wrong answer
    for the others' shapes although nothing tells it from the right one.

    Args:
        embeddings: (n, D).
        owners: (n,) int64, the shape of each.

    Returns:
        The different embeddings (m, D) in the order of their first occurrence, and pairs (r, 2)
        int64 of shape and item, each once.
    """
    keys = np.ascontiguousarray(embeddings).view(np.dtype((np.void, embeddings[0].nbytes)))
    _, first, inverse = np.unique(keys.reshape(-1), return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    pairs = np.unique(np.stack([owners, place[inverse.reshape(-1)]], 1), axis=0)
    return embeddings[np.sort(first)], pairs


@METRICS.register_module()
class RetrievalMetric(BaseMetric):
    """Retrieval of images and texts by shapes, and of shapes by images and texts.

    Directions ``p2i``, ``p2t``, ``i2p`` and ``t2p`` (p shapes, i images, t texts). For each
    ``<direction>_r1``, ``_r5``, ``_r10``, the percentage of queries whose first right answer is
    among the first k, and ``<direction>_medr``, the median rank from 1.

    A shape may have several images and texts. Any of them is a right answer for the shape, and the
    rank is that of the first one; others of the shape's own are no wrong answers. As queries each
    counts by itself. Texts (or images) with equal embeddings are one item that belongs to all
    shapes that have it (:func:`merge_equal`). Equal similarities count against the model
    (:func:`first_ranks`). A shape without image or text takes no part in those directions, neither
    as query nor in the gallery.

    Reads ``feat_embed`` (D,) of the data samples; their ``image_features`` (V, D) and
    ``text_features`` (K, D), all views and texts of a shape, which ``PackTriplets`` passes on with
    ``meta_keys``; or else one of each, ``image_embeds`` and ``text_embeds`` (D,) of the batch's
    inputs, with ``has_image`` and ``has_text`` where some lack them.

    Args:
        directions: which ones.
        topk: the ranks k.
        device: where the similarities are computed; 100k items in 512 dimensions are 10 TFLOP a
            direction.
        out_file: of the result; default ``retrieval.json`` beside the log of the run.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the logged names.

    Raises:
        ValueError: for unknown or no directions, or impossible ranks.
    """

    default_prefix = 'retrieval'

    def __init__(
        self,
        directions: Sequence[str] = tuple(DIRECTIONS),
        topk: Sequence[int] = (1, 5, 10),
        device: str = 'cpu',
        out_file: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        unknown = sorted(set(directions) - set(DIRECTIONS))
        if unknown or not directions:
            raise ValueError(f'directions must be of {list(DIRECTIONS)}, got {list(directions)}')
        if not topk or min(topk) < 1:
            raise ValueError(f'topk needs ranks from 1 on, got {list(topk)}')
        self.directions = tuple(directions)
        self.topk = tuple(sorted(set(topk)))
        self.device = device
        self.out_file = out_file

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store the embeddings of a batch.

        Args:
            data_batch: with ``inputs``, see the class.
            data_samples: elements or dicts, see the class.

        Raises:
            ValueError: for a sample without embedding.
        """
        inputs = data_batch['inputs']
        wanted = {m for direction in self.directions for m in DIRECTIONS[direction]}
        for index, sample in enumerate(data_samples):
            embed = sample.get('feat_embed')
            if embed is None:
                raise ValueError(
                    f'sample {sample.get("sample_id", "?")!r} has no feat_embed: retrieval needs '
                    'a model with a space of shapes, images and texts'
                )
            cloud = inputs['points'][index] if 'points' in inputs else None
            result = dict(p=embed.float().cpu().numpy()[None], about=describe_sample(sample, cloud))
            for name in wanted & set(SOURCES):
                rows = _rows(sample, inputs, index, *SOURCES[name])
                if rows is not None:
                    result[name] = rows
            self.results.append(result)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures of the class docstring; the result file is written here.

        Raises:
            ValueError: if no shape has what a direction asks for.
        """
        figures: dict[str, float] = {}
        sizes = {}
        for direction in self.directions:
            query, gallery = DIRECTIONS[direction]
            ranks, sizes[direction] = self._ranks(results, query, gallery)
            for k in self.topk:
                figures[f'{direction}_r{k}'] = 100.0 * float((ranks <= k).mean())
            figures[f'{direction}_medr'] = float(np.median(ranks))
        meta = self.dataset_meta or {}
        about = dict(
            split=meta.get('split'),
            shapes=len(results),
            **summarize_samples([result['about'] for result in results]),
            sizes=sizes,
        )
        write_result('retrieval.json', dict(metrics=figures, about=about), self.out_file)
        return figures

    def _ranks(self, results: list, query: str, gallery: str) -> tuple[np.ndarray, dict]:
        """Ranks of one direction, and how many items took part."""
        other = gallery if query == 'p' else query
        kept = [result for result in results if other in result]
        if not kept:
            features, embeds, _ = SOURCES[other]
            raise ValueError(
                f'none of {len(results)} shapes has {features!r} or {embeds!r}: load embeddings in '
                'the pipeline, or set directions'
            )
        shapes = np.concatenate([result['p'] for result in kept])
        counts = [len(result[other]) for result in kept]
        owners = np.repeat(np.arange(len(kept)), counts)
        items, pairs = merge_equal(np.concatenate([result[other] for result in kept]), owners)
        sides = dict(p=shapes)
        sides[other] = items
        if query != 'p':
            pairs = pairs[:, ::-1].copy()
        _, ranks = first_ranks(
            torch.from_numpy(sides[query]).to(self.device),
            torch.from_numpy(sides[gallery]).to(self.device),
            torch.from_numpy(pairs),
        )
        return ranks.cpu().numpy(), dict(queries=len(ranks), gallery=len(sides[gallery]))


def _rows(sample, inputs, index: int, features: str, embeds: str, flag: str) -> np.ndarray | None:
    """Unit embeddings (K, D) that a shape has of one modality, None where it has none."""
    rows = sample.get(features)
    if rows is None:
        if embeds not in inputs or (flag in inputs and not bool(inputs[flag][index])):
            return None
        rows = inputs[embeds][index]
    rows = torch.as_tensor(rows).float().cpu()
    return F.normalize(rows.reshape(-1, rows.shape[-1]), dim=-1).numpy() if len(rows) else None
