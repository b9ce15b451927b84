"""How near a completed cloud is to the true one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mm3dpretrain import ops
from mm3dpretrain.registry import METRICS

SCORES = ('cd_l1', 'cd_l2', 'f_score')


def completion_scores(
    predicted: Tensor, truth: Tensor, threshold: float = 0.01
) -> dict[str, float]:
    """Chamfer distances and F-score of one cloud, as completion papers count them.

    With d the Euclidean distance from a point to the nearest point of the other cloud:

    - ``cd_l1`` = 1000 * (mean of d over the prediction + mean of d over the truth) / 2,
    - ``cd_l2`` = 1000 * (mean of d^2 over the prediction + mean of d^2 over the truth),
    - ``f_score`` = harmonic mean, in percent, of precision (share of predicted points with
      d < threshold) and recall (the same over the truth) (Tatarchenko et al., 2019).

    Args:
        predicted: (N, 3).
        truth: (M, 3), same frame and unit.
        threshold: in that unit; 0.01 is what tables call F-score@1%.
    """
    pair = (predicted.float()[None], truth.float()[None])
    to_truth = ops.knn(*pair, 1).dist2[0, :, 0].clamp_min(0)
    to_predicted = ops.knn(*pair[::-1], 1).dist2[0, :, 0].clamp_min(0)
    precision = (to_truth.sqrt() < threshold).float().mean().item()
    recall = (to_predicted.sqrt() < threshold).float().mean().item()
    f_score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return dict(
        cd_l1=500.0 * (to_truth.sqrt().mean() + to_predicted.sqrt().mean()).item(),
        cd_l2=1000.0 * (to_truth.mean() + to_predicted.mean()).item(),
        f_score=100.0 * f_score,
    )


@METRICS.register_module()
class CompletionMetric(BaseMetric):
    """CD-L1, CD-L2 and F-score, over all samples, over the categories, and by difficulty.

    ``cd_l1``, ``cd_l2`` (both times 1000) and ``f_score@0.01`` (percent; the number is the
    threshold) are means over the samples; ``class_mean_*`` weighs all categories alike (PCN's
    tables); ``simple_*``, ``moderate_*`` and ``hard_*`` are means over the samples of that
    ``difficulty`` where there are any (ShapeNet-55's tables; CD-Avg there is the mean of the
    three, which is ``cd_l2`` here, as each has as many samples). See :func:`completion_scores` for
    the definitions.

    Reads ``gt_points``, ``pred_points`` and ``gt_label`` of the data samples.

    Args:
        threshold: of the F-score, in the unit of the clouds.
        per_class: add ``<class>_cd_l1`` and so on for every category.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the logged names.

    Raises:
        ValueError: for a threshold that is not positive.
    """

    default_prefix = 'completion'

    def __init__(
        self,
        threshold: float = 0.01,
        per_class: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not threshold > 0:
            raise ValueError(f'threshold must be positive, got {threshold}')
        self.threshold = threshold
        self.per_class = per_class

    def process(self, data_batch, data_samples: Sequence) -> None:
        """Store the scores of a batch.

        Args:
            data_batch: not used.
            data_samples: elements or dicts with ``gt_points`` (M, 3) and ``pred_points`` (N, 3).

        Raises:
            ValueError: for a sample without one of them.
        """
        for sample in data_samples:
            truth, predicted = sample.get('gt_points'), sample.get('pred_points')
            if truth is None or predicted is None:
                raise ValueError(
                    f'sample {sample.get("sample_id", "?")!r} lacks gt_points or pred_points'
                )
            scores = completion_scores(predicted, truth, self.threshold)
            label = sample.get('gt_label')
            scores['label'] = -1 if label is None else int(label)
            scores['difficulty'] = sample.get('difficulty') or ''
            self.results.append(scores)

    def compute_metrics(self, results: list[Mapping]) -> dict[str, float]:
        """The scores that the class names."""
        table = np.array([[row[name] for name in SCORES] for row in results])
        names = [*SCORES[:2], f'{SCORES[2]}@{self.threshold:g}']
        labels = np.array([row['label'] for row in results])
        difficulty = np.array([row['difficulty'] for row in results])
        found = dict(zip(names, table.mean(axis=0).tolist()))
        by_class = {label: table[labels == label].mean(axis=0) for label in np.unique(labels)}
        for name, value in zip(names, np.mean(list(by_class.values()), axis=0).tolist()):
            found[f'class_mean_{name}'] = value
        for level in sorted(set(difficulty.tolist()) - {''}):
            chosen = table[difficulty == level].mean(axis=0).tolist()
            found.update({f'{level}_{name}': v for name, v in zip(names, chosen)})
        if self.per_class:
            classes = (self.dataset_meta or {}).get('classes', ())
            for label, values in by_class.items():
                key = classes[label] if 0 <= label < len(classes) else str(label)
                found.update({f'{key}_{name}': v for name, v in zip(names, values.tolist())})
        return found
