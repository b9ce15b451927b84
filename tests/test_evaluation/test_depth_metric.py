"""DepthMetric against a naive twin, the crops, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mm3dpretrain.evaluation import DepthMetric, depth_scores
from mm3dpretrain.evaluation.depth_metric import crop_mask


def naive(predicted, truth) -> dict[str, float]:
    """The definitions, pixel by pixel."""
    n = len(truth)
    pairs = list(zip(predicted, truth))
    logs = [math.log(p) - math.log(t) for p, t in pairs]
    mean = sum(logs) / n
    return dict(
        abs_rel=sum(abs(p - t) / t for p, t in pairs) / n,
        sq_rel=sum((p - t) ** 2 / t for p, t in pairs) / n,
        rmse=math.sqrt(sum((p - t) ** 2 for p, t in pairs) / n),
        rmse_log=math.sqrt(sum(e * e for e in logs) / n),
        log10=sum(abs(math.log10(p) - math.log10(t)) for p, t in pairs) / n,
        silog=100 * math.sqrt(sum((e - mean) ** 2 for e in logs) / n),
        delta1=sum(max(p / t, t / p) < 1.25 for p, t in pairs) / n,
        delta2=sum(max(p / t, t / p) < 1.25**2 for p, t in pairs) / n,
        delta3=sum(max(p / t, t / p) < 1.25**3 for p, t in pairs) / n,
    )


def maps(seed: int, shape=(40, 60)) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    truth = 100 * torch.rand(shape, generator=rng)
    truth[torch.rand(shape, generator=rng) < 0.7] = 0
    predicted = truth.clamp_min(1) * (0.6 + 0.8 * torch.rand(shape, generator=rng))
    return predicted, truth


def evaluate(metric: DepthMetric, *pairs) -> dict[str, float]:
    for predicted, truth in pairs:
        metric.process({}, [dict(sample_id='a', pred_depth=predicted, gt_depth=truth)])
    return metric.compute_metrics(metric.results)


def test_scores_equal_the_naive_twin():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 80, 500)
    predicted = truth * rng.uniform(0.5, 1.7, 500)
    found = depth_scores(predicted, truth)
    assert found == pytest.approx(naive(predicted, truth), rel=1e-9)


def test_a_perfect_prediction():
    truth = np.linspace(1, 80, 50)
    found = depth_scores(truth, truth)
    assert [found[f'delta{k}'] for k in (1, 2, 3)] == [1, 1, 1]
    assert all(found[k] == 0 for k in ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'log10', 'silog'))


@pytest.mark.parametrize('crop', [None, 'garg', 'eigen'])
def test_every_picture_weighs_the_same(crop):
    pairs = [maps(0), maps(1, (24, 80))]
    # the second picture has fewer valid pixels
    pairs[1][1][:, 30:] = 0
    found = evaluate(DepthMetric(max_depth=80, crop=crop), *pairs)
    rows = []
    for predicted, truth in pairs:
        inside = crop_mask(truth.shape, crop)
        chosen = [
            (min(max(float(predicted[i, j]), 1e-3), 80), float(truth[i, j]))
            for i in range(truth.shape[0])
            for j in range(truth.shape[1])
            if inside[i, j] and 1e-3 < truth[i, j] < 80
        ]
        rows.append(naive(*zip(*chosen)))
    for name in rows[0]:
        assert found[name] == pytest.approx(sum(row[name] for row in rows) / 2, rel=1e-5), name
    assert found['num_images'] == 2


def test_crops_are_the_published_boxes():
    # as the toolboxes write them, for the 352 x 1216 pixels behind the benchmark crop
    expected = {'garg': (143, 349, 43, 1172), 'eigen': (117, 321, 43, 1172)}
    for crop, (top, bottom, left, right) in expected.items():
        rows, columns = np.nonzero(crop_mask((352, 1216), crop))
        assert (rows.min(), rows.max() + 1) == (top, bottom)
        assert (columns.min(), columns.max() + 1) == (left, right)
    rows, columns = np.nonzero(crop_mask((480, 640), 'nyu'))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 470, 41, 600)
    with pytest.raises(ValueError, match='480, 640'):
        crop_mask((352, 1216), 'nyu')


def test_a_smaller_prediction_is_resized():
    truth = torch.full((40, 60), 20.0)
    found = evaluate(DepthMetric(), (torch.full((10, 15), 22.0), truth))
    assert found['abs_rel'] == pytest.approx(0.1, rel=1e-5)


def test_pictures_without_depth_are_left_out_and_counted():
    predicted, truth = maps(0)
    alone = evaluate(DepthMetric(), (predicted, truth))
    both = evaluate(DepthMetric(), (predicted, torch.zeros_like(truth)), (predicted, truth))
    assert alone == both and both['num_images'] == 1
    with pytest.raises(ValueError, match='no valid depth in 1 pictures'):
        evaluate(DepthMetric(), (predicted, torch.zeros_like(truth)))


def test_what_it_refuses():
    predicted, truth = maps(0)
    with pytest.raises(ValueError, match="'a' lacks"):
        DepthMetric().process({}, [dict(sample_id='a', gt_depth=truth)])
    with pytest.raises(ValueError, match='not finite'):
        evaluate(DepthMetric(), (predicted * float('nan'), truth))
    with pytest.raises(ValueError, match="'centre'"):
        DepthMetric(crop='centre')
    with pytest.raises(ValueError, match='min_depth'):
        DepthMetric(min_depth=5, max_depth=5)
