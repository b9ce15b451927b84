import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from toy_parts import toy_model_cfg

PROBE = dict(
    train_dataset=dict(type='ToyShapes', size=12),
    test_dataset=dict(type='ToyShapes', size=9),
    batch_size=8,
)


def train(folder: Path, hooks: list, epochs: int = 2, **extra) -> Runner:
    """Two epochs without any seeding between iterations: a disturbed generator would show."""
    runner = Runner(
        model=toy_model_cfg(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=8,
            dataset=dict(type='ToyShapes', size=24),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
        ),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1), **extra),
        custom_hooks=hooks,
        visualizer=dict(
            type='Visualizer', name=str(folder), vis_backends=[dict(type='LocalVisBackend')]
        ),
        randomness=dict(seed=0),
        default_scope='mm3dpretrain',
        experiment_name=folder.name,
        cfg=dict(model=toy_model_cfg(), probe=PROBE),
    )
    runner.train()
    return runner


def scalars(folder: Path) -> list[dict]:
    (file,) = folder.rglob('scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_training_is_the_same_with_and_without_the_hook(tmp_path):
    plain = train(tmp_path / 'plain', [])
    probed = train(tmp_path / 'probed', [dict(type='ProbeHook', interval=1)])
    without = [row['loss'] for row in scalars(tmp_path / 'plain') if 'loss' in row]
    with_hook = [row['loss'] for row in scalars(tmp_path / 'probed') if 'loss' in row]
    assert len(without) == 6 and with_hook == without
    for (key, a), b in zip(plain.model.state_dict().items(), probed.model.state_dict().values()):
        assert torch.equal(a, b), key


def test_scores_reach_the_logs_beside_the_untrained_encoder(tmp_path):
    runner = train(tmp_path / 'run', [dict(type='ProbeHook', interval=2, seeds=(0, 1))], epochs=3)
    rows = [row for row in scalars(tmp_path / 'run') if 'probe/knn' in row]
    # epoch 2, and 3 as the last one; three iterations an epoch
    assert [row['step'] for row in rows] == [6, 9]
    for name in ('linear_svm', 'knn'):
        assert all(0 <= row[f'probe/{name}'] <= 100 for row in rows)
        untrained = {row[f'probe/{name}_untrained'] for row in rows}
        assert len(untrained) == 1  # scored once
        history = runner.message_hub.get_scalar(f'probe/{name}')
        assert history.current() == rows[-1][f'probe/{name}']
    (log,) = (tmp_path / 'run').rglob('*.log')
    assert 'Probe after epoch 3: linear SVM' in log.read_text()


@pytest.mark.parametrize(
    'settings, message',
    [(dict(interval=0), 'interval'), (dict(seeds=()), 'seed'), (dict(probe=dict(a=1)), 'probe')],
)
def test_wrong_settings_stop_before_training(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / 'bad', [dict(type='ProbeHook', **settings)])
    assert not list(tmp_path.rglob('*.pth'))
