"""Zero-shot classification: the class whose text is most similar to the shape."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from mm3dpretrain.datasets.class_embeddings import (
    ClassEmbeddings,
    class_words,
    read_class_embeddings,
)
from mm3dpretrain.registry import METRICS

from .result_file import describe_sample, summarize_samples, write_result

#: similarities that differ by less are equal: the order of a sum decides about the last digits
TIE = 1e-6


def class_ranks(embeddings: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    """Place of the right class of every shape in the order of similarity.

    A class as similar as the right one (within :data:`TIE`) comes before it, so that a model that
    gives the same answer everywhere scores nothing by luck.

    Args:
        embeddings: (B, D) shapes, unit length.
        classes: (C, D) classes, unit length.
        labels: (B,) int64 in [0, C).

    Returns:
        (B,) int64, 0 where the right class is the most similar one.

    Raises:
        ValueError: if widths differ, or a similarity is not finite.
    """
    if embeddings.shape[1] != classes.shape[1]:
        raise ValueError(
            f'shapes have embeddings of width {embeddings.shape[1]}, classes of width '
            f'{classes.shape[1]}: the class embeddings must come from the teacher that the model '
            'was trained with'
        )
    similarity = embeddings.float() @ classes.float().T
    if not torch.isfinite(similarity).all():
        raise ValueError('an embedding is not finite: did the training diverge?')
    right = similarity.gather(1, labels[:, None])
    return (similarity >= right - TIE).sum(1) - 1


@METRICS.register_module()
class ZeroShotMetric(BaseMetric):
    """Top-k accuracy of shapes against the text embeddings of the data set's classes.

    In percent: ``top1``, ``top3``, ... over all shapes, and ``class_mean``, the mean over the
    classes of their top-1. Ties count against the model, see :func:`class_ranks`. Class embeddings
    are matched with the data set's ``classes`` by *name*, never by their order.

    The result file has the scores, those of each class, and what moves such numbers: the split,
    gravity axis, normalisation, channels and number of points of the clouds, prompts and key of
    the text teacher.

    Reads ``feat_embed`` (D,) and ``gt_label`` (1,) of the data samples.

    Args:
        class_embeddings: file of :func:`~mm3dpretrain.datasets.write_class_embeddings`, or
            ClassEmbeddings; or ``dict(text_space=..., prompts='modelnet40_64')``, a text space (see
            :func:`~mm3dpretrain.apis.build_text_space`) and templates, which then embed the data
            set's classes (see :func:`~mm3dpretrain.datasets.class_embeddings.class_words`).
        topk: ranks, each at most the number of classes.
        classes: names of those that take part, such as the ones that were held out in training;
            shapes of others are left out, and so are their texts. Default all.
        out_file: of the result; default ``zero_shot.json`` beside the log of the run.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the logged names.

    Raises:
        ValueError: for no or impossible ranks or an empty list of classes.
        FileNotFoundError: for a missing file.
    """

    default_prefix = 'zeroshot'

    def __init__(
        self,
        class_embeddings: str | os.PathLike | ClassEmbeddings | Mapping,
        topk: Sequence[int] = (1, 3, 5),
        classes: Sequence[str] | None = None,
        out_file: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not topk or min(topk) < 1:
            raise ValueError(f'topk needs ranks from 1 on, got {list(topk)}')
        if classes is not None and not len(classes):
            raise ValueError('classes is empty: name at least one class, or leave it out')
        if isinstance(class_embeddings, (str, os.PathLike)):
            class_embeddings = read_class_embeddings(class_embeddings)
        elif isinstance(class_embeddings, Mapping):
            unknown = set(class_embeddings) - {'prompts'} != {'text_space'}
            if unknown:
                raise ValueError(
                    f'class_embeddings takes text_space and prompts, got {sorted(class_embeddings)}'
                )
        self.class_embeddings = class_embeddings
        self.topk = tuple(sorted(set(topk)))
        self.classes = None if classes is None else tuple(classes)
        self.out_file = out_file
        self._chosen: ClassEmbeddings | None = None
        self._rows: np.ndarray | None = None

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store the rank of the right class of every shape of a batch.

        Args:
            data_batch: ``inputs['points']`` tells the number of points.
            data_samples: elements or dicts, see the class.

        Raises:
            ValueError: for a sample without embedding or class, or class embeddings that do not
                belong to this data set or this model.
        """
        if self._chosen is None:
            self._match_classes()
        clouds = ((data_batch or {}).get('inputs') or {}).get('points')
        kept, results = [], []
        for index, sample in enumerate(data_samples):
            embed, label = sample.get('feat_embed'), sample.get('gt_label')
            if embed is None or label is None:
                raise ValueError(
                    f'sample {sample.get("sample_id", "?")!r} has no '
                    f'{"feat_embed" if embed is None else "gt_label"}: zero-shot classification '
                    'needs a model with a space of shapes and texts, and labelled shapes'
                )
            label = int(label)
            if not 0 <= label < len(self._rows):
                raise ValueError(
                    f'sample {sample.get("sample_id", "?")!r} has label {label}, the data set '
                    f'names {len(self._rows)} classes'
                )
            key, found = self._chosen.meta.get('key'), sample.get('embedding_key')
            if None not in (key, found) and key != found:
                raise ValueError(
                    f'the class embeddings are of the teacher {key}, those of the data of {found}: '
                    'their spaces have nothing in common'
                )
            facts = describe_sample(sample, None if clouds is None else clouds[index])
            # several processes are put together sample by sample: those left out keep their place
            results.append([int(self._rows[label]), -1, facts])
            if self._rows[label] >= 0:
                kept.append((index, embed))
        if kept:
            embeddings = torch.stack([embed for _, embed in kept]).float().cpu()
            labels = torch.tensor([results[index][0] for index, _ in kept])
            texts = torch.from_numpy(self._chosen.embeddings)
            for (index, _), rank in zip(kept, class_ranks(embeddings, texts, labels)):
                results[index][1] = int(rank)
        self.results += [tuple(result) for result in results]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures of the class docstring; the result file is written here.

        Raises:
            ValueError: if no shape is of the chosen classes.
        """
        if self._chosen is None:  # the first process may have had no batch
            self._match_classes()
        kept = [result for result in results if result[0] >= 0]
        if not kept:
            raise ValueError(f'none of {len(results)} shapes is of the classes {self.classes}')
        labels = np.array([label for label, _, _ in kept])
        ranks = np.array([rank for _, rank, _ in kept])
        figures = {f'top{k}': 100.0 * float((ranks < k).mean()) for k in self.topk}
        first = ranks < 1
        per_class = {
            self._chosen.names[c]: dict(
                shapes=int((labels == c).sum()), top1=100.0 * float(first[labels == c].mean())
            )
            for c in np.unique(labels)
        }
        figures['class_mean'] = float(np.mean([scores['top1'] for scores in per_class.values()]))
        meta = self.dataset_meta or {}
        about = dict(
            split=meta.get('split'),
            shapes=len(kept),
            shapes_left_out=len(results) - len(kept),
            **summarize_samples([facts for _, _, facts in kept]),
            num_classes=len(self._chosen.names),
            chance_top1=100.0 / len(self._chosen.names),
            texts=dict(self._chosen.meta),
        )
        content = dict(
            metrics=figures, about=about, classes=list(self._chosen.names), per_class=per_class
        )
        write_result('zero_shot.json', content, self.out_file)
        print_log(f'zero-shot classification of {about}', logger='current')
        return figures

    def _match_classes(self) -> None:
        """Texts of the classes that take part, and for each label its row of them or -1."""
        meta = self.dataset_meta or {}
        names = meta.get('classes')
        if not names:
            raise ValueError("the data set's meta information names no classes")
        wanted = tuple(names) if self.classes is None else self.classes
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise ValueError(f'classes {unknown} are not of the data set, which has {list(names)}')
        if isinstance(self.class_embeddings, ClassEmbeddings):
            chosen = self.class_embeddings.select(wanted)
        else:
            chosen = self._embed(wanted, class_words(meta))
        if self.topk[-1] > len(wanted):
            raise ValueError(f'top-{self.topk[-1]} of {len(wanted)} classes: set topk')
        row = {name: index for index, name in enumerate(wanted)}
        self._chosen = chosen
        self._rows = np.array([row.get(name, -1) for name in names])

    def _embed(self, wanted: Sequence[str], texts: Mapping[str, str]) -> ClassEmbeddings:
        """Embeddings of classes by the text space of the config; ``texts`` are their words."""
        # the text space reads its weights, which a run without it need not have
        from mm3dpretrain.apis.zero_shot import build_text_space
        from mm3dpretrain.datasets.prompts import embed_classes

        space = build_text_space(self.class_embeddings['text_space'])
        found = embed_classes(
            space,
            [texts[name] for name in wanted],
            self.class_embeddings.get('prompts', 'modelnet40_64'),
        )
        return ClassEmbeddings(tuple(wanted), found.embeddings, found.meta)
