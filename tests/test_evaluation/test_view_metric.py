from __future__ import annotations

import pytest
import torch

from mm3dpretrain.evaluation import ViewConsistencyMetric


def judge(*samples, **settings):
    metric = ViewConsistencyMetric(**settings)
    metric.process(None, samples)
    return metric.compute_metrics(metric.results)


def sample(shift, valid=True, **more):
    targets = torch.rand(2, 50, 2) * 100
    predicted = targets + torch.tensor([shift, 0.0])
    mask = torch.full((2, 50), valid)
    return dict(targets=targets, pred_targets=predicted, query_valid=mask, **more)


def test_errors_in_pixels():
    figures = judge(sample(0.0), sample(3.0), sample(40.0), sample(9.0, valid=False))
    assert figures['median_px'] == pytest.approx(3.0, abs=1e-4)
    assert figures['within_px'] == pytest.approx(200 / 3)
    assert figures['queries'] == 300 and figures['samples_unmatched'] == 1
    assert 20 < figures['constant_px'] < 60
    assert 'teacher_cosine' not in figures
    assert judge(sample(3.0), threshold=2.0)['within_px'] == 0


def test_invalid_rows_do_not_count():
    one = sample(1.0)
    one['query_valid'][:, 25:] = False
    one['pred_targets'][:, 25:] = float('nan')
    assert judge(one)['median_px'] == pytest.approx(1.0, abs=1e-4)


def test_similarity():
    nan = float('nan')
    samples = [
        dict(teacher_similarity=torch.tensor(v)) for v in ([0.2, 0.6], [0.4, 1.0], [nan, nan])
    ]
    figures = judge(*samples)
    assert figures == pytest.approx(
        dict(teacher_cosine=0.55, teacher_cosine_0=0.3, teacher_cosine_1=0.8)
    )


def test_nothing_to_judge():
    with pytest.raises(ValueError, match='neither pred_targets nor'):
        judge(dict(sample_id='x'))
    with pytest.raises(ValueError, match='no valid query'):
        judge(sample(0.0, valid=False))
