"""IoU of parts against a plain reading of the protocol, and what voting is called."""

import numpy as np
import pytest
import torch

from mm3dpretrain.evaluation import PartSegMetric, VotingAccuracy, parts_of_scores, shape_iou
from mm3dpretrain.registry import METRICS
from mm3dpretrain.structures import PretrainDataSample

META = dict(
    classes=('cup', 'table', 'lamp'),
    part_ids={'cup': [0, 1], 'table': [2, 3, 4], 'lamp': [5, 6, 7, 8]},
)


def naive_protocol(labels, scores, truths):
    """(instance, class) mIoU in percent: loops over shapes, parts and points."""
    ious = {}
    for label, score, truth in zip(labels, scores, truths):
        ids = META['part_ids'][META['classes'][label]]
        predicted = [max(ids, key=lambda part: row[part]) for row in score.tolist()]
        parts = []
        for part in ids:
            both = sum(p == part and t == part for p, t in zip(predicted, truth.tolist()))
            either = sum(p == part or t == part for p, t in zip(predicted, truth.tolist()))
            parts.append(both / either if either else 1.0)
        ious.setdefault(label, []).append(sum(parts) / len(parts))
    everyone = [iou for found in ious.values() for iou in found]
    per_class = [sum(found) / len(found) for found in ious.values()]
    return 100 * sum(everyone) / len(everyone), 100 * sum(per_class) / len(per_class)


def shapes(count=24, num=40):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, count).tolist()
    truths, scores = [], []
    for label in labels:
        ids = META['part_ids'][META['classes'][label]]
        # some shapes lack parts of their category
        present = ids[: rng.integers(1, len(ids) + 1)]
        truth = torch.from_numpy(rng.choice(present, num))
        score = torch.from_numpy(rng.normal(size=(num, 9)).astype(np.float32))
        score[torch.arange(num), truth] += 1.0
        score[:, ids[-1]] -= 3.0 * (label == 2)
        truths.append(truth)
        scores.append(score)
    return labels, scores, truths


def samples(labels, scores, truths, key='pred_part_score'):
    return [
        dict(gt_label=torch.tensor([label]), gt_part=truth, num_votes=4, **{key: score})
        for label, score, truth in zip(labels, scores, truths)
    ]


def run(metric, data, batch=5):
    metric.dataset_meta = META
    for start in range(0, len(data), batch):
        metric.process(None, data[start : start + batch])
    return metric.evaluate(len(data))


def test_equals_the_naive_protocol():
    data = shapes()
    instance, per_class = naive_protocol(*data)
    found = run(PartSegMetric(per_class=True), samples(*data))
    assert found['part/instance_miou'] == pytest.approx(instance)
    assert found['part/class_miou'] == pytest.approx(per_class)
    assert abs(instance - per_class) > 0.1  # the set tells the two apart
    mean = np.mean([found[f'part/iou_{name}'] for name in META['classes']])
    assert mean == pytest.approx(per_class)


def test_hand_computed_shape():
    truth, predicted = np.array([2, 2, 2, 3]), np.array([2, 2, 3, 3])
    # part 2: 2 of 3, part 3: 1 of 2, part 4: absent in both, counts 1
    assert shape_iou(predicted, truth, [2, 3, 4]) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_only_own_parts_compete():
    scores = torch.zeros(3, 9)
    scores[:, 8] = 100  # a lamp's part wins everywhere
    scores[:, 1] = 1
    assert parts_of_scores(scores, [0, 1]).tolist() == [1, 1, 1]
    data = samples([0], [scores], [torch.tensor([1, 1, 1])])
    assert run(PartSegMetric(), data)['part/instance_miou'] == 100


def test_votes_have_names_of_their_own():
    data = shapes(4)
    voted = samples(*data, key='vote_part_score')
    found = run(PartSegMetric(votes=True), voted)
    assert set(found) == {'part/vote4_instance_miou', 'part/vote4_class_miou',
                          'part/vote4_point_acc'}  # fmt: skip
    with pytest.raises(ValueError, match='VoteCopies'):
        run(PartSegMetric(votes=True), samples(*data))
    with pytest.raises(ValueError, match='lacks'):
        run(PartSegMetric(), voted)


def test_voting_accuracy():
    metric = METRICS.build(dict(type='VotingAccuracy'))
    assert isinstance(metric, VotingAccuracy)
    rows = [
        PretrainDataSample(
            gt_label=torch.tensor([label]),
            pred_label=torch.tensor([0]),
            vote_label=torch.tensor([vote]),
            metainfo=dict(num_votes=10),
        )
        for label, vote in ((0, 0), (0, 0), (0, 0), (1, 0), (1, 1))
    ]
    metric.process(None, rows)
    found = metric.evaluate(5)
    assert found == {'accuracy/vote10_top1': pytest.approx(80),
                     'accuracy/vote10_class_mean': pytest.approx(75)}  # fmt: skip
    with pytest.raises(ValueError, match='VoteCopies'):
        metric.process(None, [dict(gt_label=torch.tensor([0]), sample_id='a')])


def test_bad_data_is_named():
    data = shapes(2)
    data[2][1][0] = 8 if data[0][1] != 2 else 0
    with pytest.raises(ValueError, match='the truth holds the parts'):
        run(PartSegMetric(), samples(*data))
    metric = PartSegMetric()
    metric.dataset_meta = dict(classes=('cup',))
    with pytest.raises(ValueError, match="needs \\['part_ids'\\]"):
        metric.process(None, samples(*shapes(1)))
