import pytest
import torch
from mmengine.evaluator import Evaluator

from mm3dpretrain.evaluation import ClassificationAccuracy
from mm3dpretrain.registry import METRICS
from mm3dpretrain.structures import PretrainDataSample


def samples(labels, predicted):
    for label, guess in zip(labels, predicted):
        yield PretrainDataSample(gt_label=torch.tensor([label]), pred_label=torch.tensor([guess]))


def test_overall_and_class_mean_by_hand():
    evaluator = Evaluator(METRICS.build(dict(type='ClassificationAccuracy')))
    evaluator.process(list(samples([0, 0, 0, 1], [0, 0, 1, 1])))
    evaluator.process(list(samples([7, 7], [7, 0])))
    found = evaluator.evaluate(6)
    assert found['accuracy/top1'] == pytest.approx(100 * 4 / 6)
    assert found['accuracy/class_mean'] == pytest.approx(100 * (2 / 3 + 1 + 1 / 2) / 3)


def test_missing_prediction_names_the_sample():
    sample = PretrainDataSample(metainfo=dict(sample_id='chair_7'), gt_label=torch.tensor([1]))
    with pytest.raises(ValueError, match='chair_7'):
        ClassificationAccuracy().process(None, [sample.to_dict()])
