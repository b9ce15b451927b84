import random

import numpy as np
import pytest
import torch
from toy_parts import ToyEncoder, ToyShapes, toy_model_cfg

from mm3dpretrain.apis import calibrate_batch_norm, extract_features, isolated_rng
from mm3dpretrain.registry import MODELS


@pytest.fixture
def model():
    return MODELS.build(toy_model_cfg())


def test_pretrainer_and_bare_encoder_give_the_same_features(model):
    features, labels = extract_features(model, ToyShapes(10), batch_size=4)
    assert features.shape == (10, 16) and features.dtype == np.float32
    assert labels.tolist() == [i % 3 for i in range(10)]
    bare, _ = extract_features(model.point_encoder, dict(type='ToyShapes', size=10), batch_size=4)
    np.testing.assert_array_equal(features, bare)


def test_draws_depend_on_the_seed_and_not_on_batches_workers_or_globals(model):
    first, _ = extract_features(model, ToyShapes(10), batch_size=4, seed=1)
    np.random.seed(5)
    torch.manual_seed(5)
    for change in (dict(batch_size=3), dict(batch_size=4, num_workers=1)):
        again, _ = extract_features(model, ToyShapes(10), seed=1, **change)
        np.testing.assert_allclose(first, again, atol=1e-6)
    other, _ = extract_features(model, ToyShapes(10), batch_size=4, seed=2)
    assert np.abs(first - other).max() > 0.1


def test_several_models_see_the_same_clouds(model):
    twins = dict(a=model, b=model.point_encoder)
    features, _ = extract_features(twins, ToyShapes(10), seed=4)
    np.testing.assert_array_equal(features['a'], features['b'])


def test_modes_statistics_and_generators_are_restored(model):
    model.train()
    model.point_encoder.last.eval()
    modes = [m.training for m in model.modules()]
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    mean = model.point_encoder.norm.running_mean.clone()
    extract_features(model, ToyShapes(10))
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(model.point_encoder.norm.running_mean, mean)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])


def test_isolated_rng_restores_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(KeyError), isolated_rng(3):
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_calibration_fits_the_statistics_to_data():
    encoder = ToyEncoder()
    momentum = encoder.norm.momentum
    data = ToyShapes(24)
    calibrate_batch_norm(encoder, data, batch_size=24, seed=7)
    clouds = []

    class Recorder(ToyEncoder):
        def forward(self, points):
            clouds.append(points)
            return super().forward(points)

    extract_features(Recorder(), data, batch_size=24, seed=7)
    hidden = encoder.first(clouds[0]).flatten(0, 1)
    torch.testing.assert_close(encoder.norm.running_mean, hidden.mean(0))
    torch.testing.assert_close(encoder.norm.running_var, hidden.var(0))
    assert encoder.norm.momentum == momentum and encoder.norm.training


def test_calibration_can_be_limited_to_parts(model):
    other = torch.nn.BatchNorm1d(3)
    model.extra = other
    other.running_mean.fill_(5)
    calibrate_batch_norm(model, ToyShapes(12), parts=[model.point_encoder])
    assert other.running_mean.tolist() == [5, 5, 5]


def test_empty_data_and_models_without_features():
    with pytest.raises(ValueError, match='no samples'):
        extract_features(ToyEncoder(), ToyShapes(0))

    class Nothing(torch.nn.Module):
        def forward(self, points):
            return points

    with pytest.raises(ValueError, match="Nothing gives no 'global'"):
        extract_features(Nothing(), ToyShapes(3))
