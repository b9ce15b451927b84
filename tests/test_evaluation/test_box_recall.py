import itertools

import numpy as np
import pytest
import torch

from mm3dpretrain.evaluation.box_recall import BoxRecall, match_boxes


def test_best_prediction_takes_the_object():
    overlaps = np.array([[0.8, 0.75], [0.9, 0.0], [0.0, 0.72]])
    assert match_boxes(overlaps, 0.7).tolist() == [0, -1, 1]
    assert match_boxes(overlaps, 0.95).tolist() == [-1, -1, -1]
    assert match_boxes(np.zeros((0, 3)), 0.5).tolist() == []
    assert match_boxes(np.zeros((2, 0)), 0.5).tolist() == [-1, -1]


def test_never_better_than_the_best_assignment():
    generator = np.random.default_rng(0)
    for _ in range(30):
        overlaps = generator.random((3, 4))
        owner = match_boxes(overlaps, 0.6)
        assert len(set(owner[owner >= 0])) == (owner >= 0).sum()
        assert all(overlaps[i, j] >= 0.6 for i, j in enumerate(owner) if j >= 0)
        best = max(
            sum(overlaps[i, j] >= 0.6 for i, j in enumerate(p))
            for p in itertools.permutations(range(4), 3)
        )
        assert (owner >= 0).sum() <= best


def sample(boxes, scores, labels, truth, difficulty):
    structures = pytest.importorskip('mmdet3d.structures')
    box = structures.LiDARInstance3DBoxes
    return dict(
        sample_idx=0,
        pred_instances_3d=dict(
            bboxes_3d=box(torch.tensor(boxes).reshape(-1, 7)),
            scores_3d=torch.tensor(scores),
            labels_3d=torch.tensor(labels, dtype=torch.long),
        ),
        eval_ann_info=dict(
            gt_bboxes_3d=box(torch.tensor(truth).reshape(-1, 7)),
            gt_labels_3d=np.zeros(len(truth), np.int64),
            difficulty=np.array(difficulty),
        ),
    )


CAR = [10.0, 0.0, -1.5, 3.9, 1.6, 1.5, 0.3]


def moved(x):
    return [CAR[0] + x, *CAR[1:]]


def test_counts():
    metric = BoxRecall()
    metric.dataset_meta = {}
    # found; too far off; a hard one that is found counts neither way; a weak one is left out
    metric.process(
        None,
        [
            sample(
                [CAR, moved(22.0), moved(40.0), moved(60.0)],
                [0.9, 0.8, 0.7, 0.1],
                [0, 0, 0, 0],
                [CAR, moved(20.0), moved(40.0)],
                [1, 0, 2],
            ),
            sample([CAR], [0.9], [1], [CAR], [0]),  # another class
            sample([], [], [], [], []),
        ],
    )
    result = metric.evaluate(size=3)
    assert result['boxes/objects'] == 3
    assert result['boxes/recall'] == pytest.approx(100 / 3)
    assert result['boxes/false_per_frame'] == pytest.approx(1 / 3)


def test_needs_labels():
    metric = BoxRecall()
    bare = sample([CAR], [0.9], [0], [CAR], [0])
    bare.pop('eval_ann_info')
    with pytest.raises(ValueError, match='no eval_ann_info'):
        metric.process(None, [bare])
