"""How many labelled objects a 3D detector finds, and how many it invents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from ..registry import METRICS


def match_boxes(overlaps: np.ndarray, iou_thr: float) -> np.ndarray:
    """Give every prediction at most one object, best predictions first.

    Args:
        overlaps: (P, G) IoU of predictions, sorted by falling score, with labelled objects.
        iou_thr: smallest overlap of a pair.

    Returns:
        int64 (P,), the object of each prediction or -1. Each object is given once.
    """
    owner = np.full(len(overlaps), -1)
    left = np.array(overlaps, dtype=np.float64)
    for row in range(len(left)):
        if left.shape[1] and left[row].max() >= iou_thr:
            owner[row] = left[row].argmax()
            left[:, owner[row]] = -1
    return owner


@METRICS.register_module()
class BoxRecall(BaseMetric):
    """Share of objects found and false boxes per frame, at one score and one overlap.

    Coarser than average precision, and readable where there are few objects, on which KITTI's AP40
    is capped. A box that covers a labelled object of a harder level is neither found nor false.
    Works with ``mmdet3d`` data sets that hand on ``eval_ann_info`` with ``difficulty`` (KITTI).

    Args:
        iou_thr: overlap in 3D of boxes that belong together.
        score_thr: weaker predictions are left out.
        max_difficulty: hardest level that counts: 0 easy, 1 moderate, 2 hard.
        label: class that is counted, index in the data set's classes.
        collect_device: see :class:`mmengine.evaluator.BaseMetric`.
        prefix: of the names in the log.
    """

    default_prefix = 'boxes'

    def __init__(
        self,
        iou_thr: float = 0.7,
        score_thr: float = 0.3,
        max_difficulty: int = 1,
        label: int = 0,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.iou_thr, self.score_thr = iou_thr, score_thr
        self.max_difficulty, self.label = max_difficulty, label

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Count one batch.

        Args:
            data_batch: not used.
            data_samples: with ``pred_instances_3d`` (``bboxes_3d``, ``scores_3d``, ``labels_3d``)
                and ``eval_ann_info`` (``gt_bboxes_3d``, ``gt_labels_3d``, ``difficulty``).

        Raises:
            ValueError: if a sample has no annotation to compare with.
        """
        for sample in data_samples:
            truth, found = sample.get('eval_ann_info'), sample['pred_instances_3d']
            if truth is None or 'difficulty' not in truth:
                raise ValueError(
                    f'sample {sample.get("sample_idx")} has no eval_ann_info with difficulty: '
                    'use a data set with labels in test mode'
                )
            keep = (found['scores_3d'] >= self.score_thr) & (found['labels_3d'] == self.label)
            order = found['scores_3d'][keep].argsort(descending=True)
            boxes = found['bboxes_3d'][keep][order]
            wanted = np.flatnonzero(np.asarray(truth['gt_labels_3d']) == self.label)
            level = np.asarray(truth['difficulty'])[wanted]
            counted = (level >= 0) & (level <= self.max_difficulty)
            overlaps = np.zeros((len(boxes), len(wanted)))
            if overlaps.size:
                objects = truth['gt_bboxes_3d'][wanted].to(boxes.tensor.device)
                overlaps = boxes.overlaps(boxes, objects).cpu().numpy()
            owner = match_boxes(overlaps, self.iou_thr)
            hit = owner[owner >= 0]
            self.results.append(
                (int(counted[hit].sum()), int(counted.sum()), int((owner < 0).sum()))
            )

    def compute_metrics(self, results: list[tuple[int, int, int]]) -> dict[str, float]:
        """``recall`` in percent, ``objects`` and ``false_per_frame``."""
        found, objects, false = (sum(column) for column in zip(*results))
        recall = 100.0 * found / objects if objects else float('nan')
        return dict(recall=recall, objects=objects, false_per_frame=false / len(results))
