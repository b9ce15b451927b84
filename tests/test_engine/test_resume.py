"""A run that was killed ends like one that was not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mm3dpretrain.datasets.samplers import seed_sample
from mm3dpretrain.models.pretrainers import BasePretrainer
from mm3dpretrain.registry import DATASETS, HOOKS, MODELS


@DATASETS.register_module()
class NoisyClouds(BaseDataset):
    METAINFO = dict(gravity_axis='y', normalization='unit_sphere')

    def load_data_list(self):
        return [dict(value=i) for i in range(12)]

    def __getitem__(self, index):
        seed_sample(index)
        value = self.get_data_info(index)['value']
        points = np.float32(value) / 12 + np.random.rand(4, 3).astype(np.float32)
        return dict(inputs=dict(points=torch.from_numpy(points)), data_samples=None)


@MODELS.register_module()
class DropoutPretrainer(BasePretrainer):
    """Random in the model too, with a batch norm, so that every kind of state matters."""

    transfer_modules = {'point': 'net'}

    def __init__(self, data_preprocessor=None, init_cfg=None):
        super().__init__(data_preprocessor, init_cfg)
        self.net = nn.Sequential(
            nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)
        )

    def extract_feat(self, inputs, data_samples=None):
        return {'global': self.net(inputs['points'].flatten(1))}

    def loss(self, inputs, data_samples=None):
        noise = torch.rand(len(inputs['points']), 1)
        return {'loss_fit': (self.extract_feat(inputs)['global'] - noise).square().mean()}


class Killed(Exception):
    pass


@HOOKS.register_module()
class KillHook(Hook):
    """Stop like a kill: right after an iteration, before anything is saved for it."""

    priority = 'LOWEST'

    def __init__(self, at: int):
        self.at = at

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.at:
            raise Killed


def config(work_dir: Path, workers: int = 0, by_epoch: bool = True, kill_at: int | None = None):
    interval = 1 if by_epoch else 2
    hooks = [dict(type='IterSeedHook'), dict(type='CheckpointMetaHook')]
    if kill_at is not None:
        hooks.append(dict(type='KillHook', at=kill_at))
    return Config(
        dict(
            default_scope='mm3dpretrain',
            model=dict(type='DropoutPretrainer'),
            train_dataloader=dict(
                batch_size=3,
                num_workers=workers,
                persistent_workers=workers > 0,
                dataset=dict(type='NoisyClouds'),
                sampler=dict(type='SeededSampler'),
            ),
            train_cfg=dict(type='ResumableTrainLoop', max_epochs=3),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.05)),
            param_scheduler=[
                dict(type='CosineAnnealingLR', T_max=3, by_epoch=True, convert_to_iter_based=True)
            ],
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(type='CheckpointHook', interval=interval, by_epoch=by_epoch),
            ),
            custom_hooks=hooks,
            randomness=dict(seed=5),
            work_dir=str(work_dir),
            log_level='ERROR',
        )
    )


def train(cfg, resume=False):
    cfg.experiment_name = (
        f'{Path(cfg.work_dir).name}-{len(list(Path(cfg.work_dir).parent.iterdir()))}'
    )
    cfg.resume = resume
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def losses(work_dir: Path) -> dict[int, float]:
    found = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if 'loss' in entry:
                found[entry['step']] = entry['loss']
    return found


@pytest.mark.parametrize(
    'by_epoch, kill_at, workers',
    [(True, 6, 0), (False, 7, 0), (False, 6, 2)],
    ids=['epoch-checkpoint', 'mid-epoch-checkpoint', 'mid-epoch-with-workers'],
)
def test_killed_run_ends_like_an_uninterrupted_one(tmp_path, by_epoch, kill_at, workers):
    whole = train(config(tmp_path / 'whole', workers=workers))
    with pytest.raises(Killed):
        train(config(tmp_path / 'killed', workers, by_epoch, kill_at))
    resumed = train(config(tmp_path / 'killed', workers, by_epoch), resume=True)

    expected, actual = losses(tmp_path / 'whole'), losses(tmp_path / 'killed')
    assert sorted(expected) == list(range(1, 13))
    assert actual == expected
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(resumed.model.state_dict()[name], value, rtol=0, atol=0)


def test_checkpoint_says_what_it_is(tmp_path):
    runner = train(config(tmp_path / 'run'))
    checkpoint = torch.load(tmp_path / 'run' / 'epoch_3.pth', weights_only=True)
    meta = checkpoint['meta']['mm3dpretrain']
    assert meta['method'] == type(runner.model).__name__ == 'DropoutPretrainer'
    assert (meta['gravity_axis'], meta['normalization']) == ('y', 'unit_sphere')
    assert meta['point_channels'] == ['x', 'y', 'z']
    assert meta['transfer_modules'] == {'point': 'net'}


def test_mid_epoch_resume_needs_a_sampler_that_skips(tmp_path):
    with pytest.raises(Killed):
        train(config(tmp_path / 'run', by_epoch=False, kill_at=7))
    cfg = config(tmp_path / 'run', by_epoch=False)
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    with pytest.raises(ValueError, match='SeededSampler'):
        train(cfg, resume=True)


def test_tensorboard_is_one_entry_of_the_config(tmp_path):
    pytest.importorskip('tensorboard')
    cfg = config(tmp_path / 'run')
    cfg.visualizer = dict(
        type='Visualizer',
        vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')],
    )
    train(cfg)
    assert list((tmp_path / 'run').glob('*/vis_data/events.out.tfevents*'))
    assert len(losses(tmp_path / 'run')) == 12
