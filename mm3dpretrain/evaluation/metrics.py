"""Metrics of downstream tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from mm3dpretrain.registry import METRICS


@METRICS.register_module()
class ClassificationAccuracy(BaseMetric):
    """Overall and class-mean top-1 accuracy in percent.

    Reads ``gt_label`` and ``pred_label`` (1,) of every data sample. The class mean weighs all
    classes that occur in the data alike, however many samples they have.

    Args:
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the logged names.
    """

    default_prefix = 'accuracy'

    def __init__(self, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store (label, prediction) of one batch.

        Args:
            data_batch: not used.
            data_samples: with ``gt_label`` and ``pred_label``, as elements or as dicts (the
                evaluator hands over dicts).

        Raises:
            ValueError: for a sample without label or prediction.
        """
        for sample in data_samples:
            label, predicted = sample.get('gt_label'), sample.get('pred_label')
            if label is None or predicted is None:
                name = sample.get('sample_id', '?')
                raise ValueError(f'sample {name!r} has no gt_label or no pred_label')
            self.results.append((int(label), int(predicted)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """``top1`` and ``class_mean``, both in percent."""
        labels, predicted = np.asarray(results, np.int64).reshape(-1, 2).T
        hits = labels == predicted
        per_class = [hits[labels == c].mean() for c in np.unique(labels)]
        return dict(top1=100.0 * float(hits.mean()), class_mean=100.0 * float(np.mean(per_class)))
