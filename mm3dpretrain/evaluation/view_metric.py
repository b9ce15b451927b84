"""Does a pixel find its place in the other view, and are 3D features like the teacher's?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from mm3dpretrain.registry import METRICS


@METRICS.register_module()
class ViewConsistencyMetric(BaseMetric):
    """What both terms of MVNet learn, on views that were not trained on.

    Over all valid queries of all samples: ``median_px``, the median distance of predicted and true
    pixel, in pixels of the network's input; ``within_px``, the share in percent that lies within
    ``threshold`` pixels; ``constant_px``, the median of one single answer to all of them, their
    median, which is what a model knows that has not looked; ``queries``, their number.
    ``teacher_cosine`` is the mean cosine similarity to the teacher, in [-1, 1], over samples and
    levels, and ``teacher_cosine_0``, ... that of each level. ``samples_unmatched`` counts the
    samples without any valid query; they are left out.

    Reads ``queries``, ``targets``, ``pred_targets``, ``query_valid`` or ``teacher_similarity`` of
    the data samples; a model without one of the terms has the figures of the other one.

    Args:
        threshold: pixels.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the logged names.
    """

    default_prefix = 'views'

    def __init__(
        self, threshold: float = 5.0, collect_device: str = 'cpu', prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.threshold = threshold

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store predictions and truth of a batch.

        Args:
            data_batch: not used.
            data_samples: elements or dicts, see the class.

        Raises:
            ValueError: for a sample without any prediction.
        """
        for sample in data_samples:
            predicted, similarity = sample.get('pred_targets'), sample.get('teacher_similarity')
            if predicted is None and similarity is None:
                raise ValueError(
                    f'sample {sample.get("sample_id", "?")!r} has neither pred_targets nor '
                    'teacher_similarity: ViewConsistencyMetric judges the prediction of MVNet'
                )
            result = {}
            if predicted is not None:
                valid = sample.get('query_valid')
                result['predicted'] = predicted[valid].cpu().numpy()
                result['truth'] = sample.get('targets')[valid].cpu().numpy()
            if similarity is not None:
                result['similarity'] = similarity.cpu().numpy()
            self.results.append(result)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The figures of the class docstring.

        Raises:
            ValueError: if correspondences were predicted and no query is valid.
        """
        figures: dict[str, float] = {}
        if 'predicted' in results[0]:
            predicted = np.concatenate([r['predicted'] for r in results]).astype(np.float64)
            truth = np.concatenate([r['truth'] for r in results]).astype(np.float64)
            if not len(truth):
                raise ValueError(
                    f'no valid query in any of {len(results)} samples: check poses and overlap'
                )
            error = np.linalg.norm(predicted - truth, axis=1)
            constant = np.linalg.norm(np.median(truth, axis=0) - truth, axis=1)
            figures = dict(
                median_px=float(np.median(error)),
                within_px=float(100 * (error <= self.threshold).mean()),
                constant_px=float(np.median(constant)),
                queries=float(len(truth)),
                samples_unmatched=float(sum(not len(r['truth']) for r in results)),
            )
        if 'similarity' in results[0]:
            similarity = np.stack([r['similarity'] for r in results]).astype(np.float64)
            seen = np.isfinite(similarity).all(1)
            levels = similarity[seen].mean(0) if seen.any() else np.zeros(similarity.shape[1])
            figures['teacher_cosine'] = float(levels.mean())
            figures.update({f'teacher_cosine_{k}': float(v) for k, v in enumerate(levels)})
        return figures
