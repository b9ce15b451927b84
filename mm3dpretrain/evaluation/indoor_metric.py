"""AP of indoor detection on sets in which not every class occurs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mm3dpretrain.compat import require
from mm3dpretrain.registry import METRICS


@METRICS.register_module()
class PresentClassesIndoorMetric(BaseMetric):
    """mmdet3d's ``IndoorMetric`` over the classes that have a box in the evaluated samples.

    VoteNet proposes every class in every scene. Where a class has no box at all, its AP is 0 / 0,
    and mmdet3d's mean over the classes is nan. Here predictions of such classes are left out before
    ``mmdet3d.evaluation.indoor_eval`` counts; all other numbers are its own.

    Args:
        iou_thr: IoU thresholds; metrics are named ``mAP_0.25``, ``chair_AP_0.25``, ...
        **kwargs: of ``BaseMetric``.
    """

    def __init__(self, iou_thr: Sequence[float] = (0.25, 0.5), **kwargs) -> None:
        super().__init__(**kwargs)
        self.iou_thr = list(iou_thr)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep annotations and predictions (boxes in metres) of a batch."""
        for sample in data_samples:
            predicted = sample['pred_instances_3d']
            predicted = {
                key: value.to('cpu') if hasattr(value, 'to') else value
                for key, value in predicted.items()
            }
            self.results.append((sample['eval_ann_info'], predicted))

    def compute_metrics(self, results: list[tuple[dict, dict]]) -> dict[str, float]:
        """AP and recall in [0, 1], by class and their means.

        Raises:
            ValueError: if no sample has a box.
        """
        evaluation = require('mmdet3d.evaluation', 'det3d', 'the evaluation of indoor detection')
        structures = require('mmdet3d.structures', 'det3d', 'the evaluation of indoor detection')
        truth = [annotation for annotation, _ in results]
        present = np.unique(np.concatenate([a['gt_labels_3d'] for a in truth])).tolist()
        if not present:
            raise ValueError(f'none of the {len(truth)} evaluated samples has a box')
        kept = []
        for _, predicted in results:
            chosen = [i for i, c in enumerate(predicted['labels_3d'].tolist()) if c in present]
            kept.append({key: value[chosen] for key, value in predicted.items()})
        return evaluation.indoor_eval(
            truth,
            kept,
            self.iou_thr,
            self.dataset_meta['classes'],
            logger=MMLogger.get_current_instance(),
            box_mode_3d=structures.get_box_type(self.dataset_meta.get('box_type_3d', 'depth'))[1],
        )
