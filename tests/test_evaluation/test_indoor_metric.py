"""AP over the classes that occur: mmdet3d's numbers, and no nan from classes without boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mm3dpretrain.registry import METRICS

mmdet3d = pytest.importorskip('mmdet3d.structures')
CLASSES = ('bed', 'chair', 'table')


def boxes(rows):
    rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return mmdet3d.DepthInstance3DBoxes(rows, box_dim=6, with_yaw=False, origin=(0.5, 0.5, 0.5))


def sample(truth, truth_labels, predicted, labels, scores):
    return dict(
        eval_ann_info=dict(gt_bboxes_3d=boxes(truth), gt_labels_3d=np.array(truth_labels)),
        pred_instances_3d=dict(
            bboxes_3d=boxes(predicted),
            labels_3d=torch.tensor(labels),
            scores_3d=torch.tensor(scores),
        ),
    )


BED, CHAIR = [0, 0, 0.5, 2, 1.5, 1], [4, 1, 0.5, 0.5, 0.5, 1]
SAMPLES = [
    # the chair is found, the bed is missed, a table is proposed where no room has one
    sample([BED, CHAIR], [0, 1], [CHAIR, BED], [1, 2], [0.9, 0.8]),
    sample([CHAIR], [1], [[9, 9, 0.5, 1, 1, 1], CHAIR], [1, 1], [0.95, 0.5]),
]


def evaluate(kind, samples):
    metric = METRICS.build(dict(type=kind))
    metric.dataset_meta = dict(classes=CLASSES, box_type_3d='depth')
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def test_classes_without_boxes_do_not_count():
    assert np.isnan(evaluate('mmdet3d.IndoorMetric', SAMPLES)['mAP_0.25'])
    found = evaluate('PresentClassesIndoorMetric', SAMPLES)
    assert found['bed_AP_0.25'] == 0
    # ranked: false (0.95), true (0.9), true (0.5): precision 2/3 at best from either recall on
    assert found['chair_AP_0.25'] == pytest.approx(2 / 3, abs=1e-6)
    assert found['mAP_0.25'] == pytest.approx(1 / 3, abs=1e-6)
    assert not any(name.startswith('table') for name in found)
    assert all(np.isfinite(value) for value in found.values())


def test_equals_mmdet3d_where_every_class_occurs():
    everything = [*SAMPLES, sample([[1, 5, 0.4, 1, 2, 0.8]], [2], [[1, 5, 0.4, 1, 1.2, 0.8]], [2],
                                   [0.6])]  # fmt: skip
    assert evaluate('PresentClassesIndoorMetric', everything) == evaluate(
        'mmdet3d.IndoorMetric', everything
    )


def test_nothing_to_evaluate():
    with pytest.raises(ValueError, match='none of the 1 evaluated samples has a box'):
        evaluate('PresentClassesIndoorMetric', [sample([], [], [CHAIR], [1], [0.9])])
