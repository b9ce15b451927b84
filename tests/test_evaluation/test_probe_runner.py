import copy

import numpy as np
import pytest
import torch
from toy_parts import ToyShapes, save_toy_checkpoint, toy_model_cfg

from mm3dpretrain.evaluation import format_table, probe_runner, run_probe
from mm3dpretrain.registry import MODELS


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'epoch_1.pth'
    save_toy_checkpoint(path)
    return path


def test_result_has_the_documented_layout(checkpoint):
    result = run_probe(checkpoint)
    assert set(result['probe']) == {'linear_svm', 'knn'}
    for by_model in result['probe'].values():
        assert set(by_model) == {'pretrained', 'untrained'}
        for score in by_model.values():
            assert len(score['seeds']) == 3
            assert score['mean'] == pytest.approx(np.mean(score['seeds']))
            assert score['std'] == pytest.approx(np.std(score['seeds'], ddof=1))
    assert result['seeds'] == [0, 1, 2] and result['unit'] == 'percent'
    assert (result['num_train'], result['num_test']) == (24, 12)
    table = format_table(result)
    assert 'pretrained' in table and 'baseline' not in table and '+-' in table


def test_same_call_same_numbers_and_seeds_differ(checkpoint):
    noisy = dict(
        train_dataset=dict(type='ToyShapes', size=60, noise=3.0),
        test_dataset=dict(type='ToyShapes', size=60, noise=3.0),
        batch_size=16,
    )
    first = run_probe(checkpoint, probe=noisy)['probe']
    assert run_probe(checkpoint, probe=noisy)['probe'] == first
    assert run_probe(checkpoint, probe=noisy, batch_size=7)['probe'] == first
    assert first['linear_svm']['pretrained']['std'] > 0
    alone = run_probe(checkpoint, probe=noisy, seeds=[2])['probe']['linear_svm']['pretrained']
    assert alone['seeds'] == first['linear_svm']['pretrained']['seeds'][2:]
    assert alone['std'] == 0


def test_baseline_is_added_on_demand(checkpoint):
    result = run_probe(checkpoint, seeds=[0], baseline=True)
    assert set(result['probe']['d2_histogram']) == {'baseline'}
    assert 'baseline' in format_table(result)


def test_baseline_gets_all_points():
    settings = dict(
        train_dataset=dict(type='ToyShapes', size=6, pipeline=[dict(type='SamplePoints')]),
        test_dataset=dict(type='ToyShapes', size=6),
    )
    before = copy.deepcopy(settings)
    probe_runner.histogram_baseline(settings, 0)
    assert settings == before


def test_one_checkpoint_for_each_seed(tmp_path, checkpoint):
    other = tmp_path / 'other.pth'
    save_toy_checkpoint(other)
    content = torch.load(other)
    for value in content['state_dict'].values():
        if value.is_floating_point():
            value.zero_()
    torch.save(content, other)
    result = run_probe([checkpoint, other], seeds=[0, 1])
    good, dead = result['probe']['linear_svm']['pretrained']['seeds']
    assert dead < 50 < good
    with pytest.raises(ValueError, match='2 checkpoints for 3 seeds'):
        run_probe([checkpoint, other])


def test_untrained_twin_has_new_weights_and_shares_the_rest():
    cfg = toy_model_cfg()
    torch.manual_seed(42)
    model = MODELS.build(cfg)
    state = torch.get_rng_state()
    twin = probe_runner.untrained_twin(model, cfg, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    again = probe_runner.untrained_twin(model, cfg, seed=0)
    third = probe_runner.untrained_twin(model, cfg, seed=1)
    weight = 'first.weight'
    values = [m.point_encoder.get_parameter(weight) for m in (model, twin, again, third)]
    assert torch.equal(values[1], values[2])
    assert not torch.equal(values[0], values[1]) and not torch.equal(values[1], values[3])
    assert twin.head is model.head


def test_untrained_twin_never_starts_from_a_checkpoint():
    cfg = toy_model_cfg()
    model = MODELS.build(cfg)
    cfg['point_encoder']['init_cfg'] = dict(type='Pretrained', checkpoint='nowhere.pth')
    probe_runner.untrained_twin(model, cfg, seed=0)


def test_calibration_leaves_the_trained_model_alone():
    cfg = toy_model_cfg()
    model = MODELS.build(cfg)
    before = copy.deepcopy(model.state_dict())
    twin = probe_runner.build_untrained(model, cfg, ToyShapes(24), seed=0)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert not torch.equal(twin.point_encoder.norm.running_var, torch.ones(16))


def test_untrained_needs_a_config_of_the_encoder():
    model = MODELS.build(toy_model_cfg())
    with pytest.raises(ValueError, match='point_encoder'):
        probe_runner.untrained_twin(model, dict(type='ToyPretrainer'), 0)
    with pytest.raises(ValueError, match='transfer_modules'):
        probe_runner.untrained_twin(torch.nn.Linear(2, 2), {}, 0)


@pytest.mark.parametrize(
    'probe, message',
    [
        (None, 'probe.train_dataset and no probe.test_dataset'),
        (dict(train_dataset=dict(type='ToyShapes')), 'probe.test_dataset'),
        (dict(train_dataset=1, test_dataset=1, seedz=(0,)), 'seedz'),
        (dict(train_dataset=1, test_dataset=1, seeds=()), 'seeds'),
    ],
)
def test_bad_settings_are_named(probe, message):
    with pytest.raises(ValueError, match=message):
        probe_runner.probe_settings(probe)


def test_unlabelled_data_cannot_be_probed(checkpoint):
    bare = dict(type='ToyShapes', labelled=False)
    with pytest.raises(ValueError, match='no label'):
        run_probe(checkpoint, probe=dict(train_dataset=bare, test_dataset=bare), seeds=[0])


def test_other_conventions_are_noted_and_other_channels_refused(checkpoint):
    def probe(**extra):
        dataset = dict(type='ToyShapes', **extra)
        return dict(train_dataset=dataset, test_dataset=dataset)

    assert run_probe(checkpoint, seeds=[0])['notes'] == []
    notes = run_probe(checkpoint, probe=probe(gravity_axis='z'), seeds=[0])['notes']
    assert len(notes) == 1 and "gravity_axis='y', here it is 'z'" in notes[0]
    assert run_probe(checkpoint, probe=probe(gravity_axis='none'), seeds=[0])['notes'] == []
    with pytest.raises(ValueError, match='point_channels'):
        run_probe(checkpoint, probe=probe(point_channels=('x', 'y', 'z', 'r')), seeds=[0])
