import numpy as np
import pytest
import torch

from mm3dpretrain.evaluation import CompletionMetric, completion_scores


def naive_scores(predicted, truth, threshold):
    """Loops over both clouds."""

    def nearest(a, b):
        return [min(float(((p - q) ** 2).sum()) ** 0.5 for q in b) for p in a]

    there, back = nearest(predicted, truth), nearest(truth, predicted)
    mean = lambda values: sum(values) / len(values)  # noqa: E731
    precision = mean([d < threshold for d in there])
    recall = mean([d < threshold for d in back])
    return dict(
        cd_l1=1000 * (mean(there) + mean(back)) / 2,
        cd_l2=1000 * (mean([d * d for d in there]) + mean([d * d for d in back])),
        f_score=100 * 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
    )


@pytest.mark.parametrize('threshold', [0.2, 0.5])
def test_equals_naive_twin(threshold):
    rng = np.random.default_rng(1)
    predicted, truth = (torch.from_numpy(rng.uniform(-1, 1, (n, 3))) for n in (40, 60))
    found = completion_scores(predicted, truth, threshold)
    expected = naive_scores(predicted.float(), truth.float(), threshold)
    assert 0 < expected['f_score'] < 100
    assert found == pytest.approx(expected, rel=1e-4)


def test_by_hand():
    truth = torch.tensor([[0.0, 0, 0], [1, 0, 0]])
    found = completion_scores(truth + torch.tensor([0.0, 0.1, 0]), truth, 0.05)
    assert found == pytest.approx(dict(cd_l1=100, cd_l2=20, f_score=0), rel=1e-4)
    assert completion_scores(truth, truth) == dict(cd_l1=0, cd_l2=0, f_score=100)


def test_means_by_class_and_difficulty():
    truth = torch.zeros(1, 3)
    rows = [(0, 'hard', 0.1), (0, 'simple', 0.2), (1, 'hard', 0.6)]
    samples = [
        dict(gt_label=torch.tensor([label]), difficulty=level, gt_points=truth,
             pred_points=truth + torch.tensor([distance, 0, 0]))
        for label, level, distance in rows
    ]  # fmt: skip
    metric = CompletionMetric(threshold=0.15, per_class=True)
    metric.dataset_meta = dict(classes=('cup', 'lamp'))
    metric.process(None, samples[:2])
    metric.process(None, samples[2:])
    found = metric.evaluate(3)
    assert found['completion/cd_l1'] == pytest.approx(300, rel=1e-4)
    assert found['completion/class_mean_cd_l1'] == pytest.approx((150 + 600) / 2, rel=1e-4)
    assert found['completion/hard_cd_l1'] == pytest.approx(350, rel=1e-4)
    assert found['completion/simple_cd_l2'] == pytest.approx(80, rel=1e-4)
    assert found['completion/f_score@0.15'] == pytest.approx(100 / 3, rel=1e-4)
    assert found['completion/lamp_cd_l1'] == pytest.approx(600, rel=1e-4)


def test_bad_input():
    with pytest.raises(ValueError, match='threshold'):
        CompletionMetric(threshold=0)
    with pytest.raises(ValueError, match="'b' lacks gt_points"):
        CompletionMetric().process(None, [dict(sample_id='b', pred_points=torch.zeros(1, 3))])
