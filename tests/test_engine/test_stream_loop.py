"""A run on a stream that was killed goes on with the batch that follows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mm3dpretrain.datasets.shard_writer import write_shards
from mm3dpretrain.engine.stream_loop import ResumableIterTrainLoop
from mm3dpretrain.models.pretrainers import BasePretrainer
from mm3dpretrain.registry import HOOKS, LOOPS, MODELS

assert LOOPS.get('ResumableIterTrainLoop') is ResumableIterTrainLoop


class Clouds(BaseDataset):
    def load_data_list(self):
        return [dict(sample_id=f's{i}') for i in range(23)]

    def __getitem__(self, i):
        points = np.random.default_rng(int(i)).uniform(-1, 1, (16, 3))
        return dict(
            sample_id=f's{int(i)}',
            points=points,
            point_channels=('x', 'y', 'z'),
            gravity_axis='y',
            normalization='unit_sphere',
        )


@MODELS.register_module()
class StreamPretrainer(BasePretrainer):
    transfer_modules = {'point': 'net'}

    def __init__(self, data_preprocessor=None, init_cfg=None):
        super().__init__(data_preprocessor, init_cfg)
        self.net = nn.Linear(24, 1)

    def extract_feat(self, inputs, data_samples=None):
        return {'global': self.net(inputs['points'].flatten(1))}

    def loss(self, inputs, data_samples=None):
        return {'loss_fit': (self.extract_feat(inputs)['global'] - 1).square().mean()}


class Killed(Exception):
    pass


@HOOKS.register_module()
class NoteSamples(Hook):
    seen: list = []

    def __init__(self, kill_after=None):
        self.kill_after = kill_after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        points = data_batch['inputs']['points']
        names = [sample.sample_id for sample in data_batch['data_samples']]
        NoteSamples.seen.append((names, float(points.sum())))
        if runner.iter + 1 == self.kill_after:
            raise Killed


def build(tmp_path, name, workers=0, kill_after=None, **changes):
    config = dict(
        default_scope='mm3dpretrain',
        model=dict(
            type='StreamPretrainer', data_preprocessor=dict(type='PretrainDataPreprocessor')
        ),
        train_dataloader=dict(
            batch_size=3,
            num_workers=workers,
            persistent_workers=False,
            sampler=None,
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='ShardedTriplets',
                shards=str(tmp_path / 'shards'),
                shuffle_buffer=5,
                pipeline=[
                    dict(type='SamplePoints', num_points=8),
                    dict(type='RandomScaleShift'),
                    dict(type='PackTriplets'),
                ],
            ),
        ),
        train_cfg=dict(type='ResumableIterTrainLoop', max_iters=20, val_interval=1000),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=5),
            meta=dict(type='CheckpointMetaHook'),
        ),
        custom_hooks=[dict(type='NoteSamples', kill_after=kill_after)],
        log_processor=dict(by_epoch=False),
        randomness=dict(seed=3),
        log_level='WARNING',
        work_dir=str(tmp_path / name),
        experiment_name=f'{tmp_path.name}_{name}_{len(NoteSamples.seen)}',
    )
    config = Config(config)
    config.merge_from_dict(changes)
    return Runner.from_cfg(config)


@pytest.fixture
def shards(tmp_path):
    write_shards(Clouds(), tmp_path / 'shards', samples_per_shard=4)
    NoteSamples.seen = []
    return tmp_path


@pytest.mark.parametrize('workers', [0, 2])
def test_resumed_run_sees_what_follows(shards, workers):
    build(shards, 'whole', workers).train()
    whole = NoteSamples.seen
    assert len(whole) == 20
    NoteSamples.seen = []
    with pytest.raises(Killed):
        build(shards, 'killed', workers, kill_after=12).train()
    # the checkpoint of iteration 10 is the last one
    NoteSamples.seen = []
    resumed = build(shards, 'killed', workers, resume=True)
    resumed.train()
    assert NoteSamples.seen == whole[10:]
    weights = [
        torch.load(shards / name / 'iter_20.pth', weights_only=False)['state_dict']['net.weight']
        for name in ('whole', 'killed')
    ]
    assert torch.equal(*weights)


def test_the_runs_seed_decides(shards):
    seen = []
    for seed in (3, 3, 4):
        NoteSamples.seen = []
        build(shards, f'seed{len(seen)}', randomness=dict(seed=seed)).train()
        seen.append(NoteSamples.seen)
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize(
    'changes', [{'train_dataloader.batch_size': 4}, {'train_dataloader.dataset.seed': 9}]
)
def test_another_stream_is_refused(shards, changes):
    with pytest.raises(Killed):
        build(shards, 'run', kill_after=6).train()
    with pytest.raises(ValueError, match='repeat some samples and lose others'):
        build(shards, 'run', resume=True, **changes).train()


def test_what_cannot_be_resumed_is_refused(shards):
    runner = build(shards, 'run', 1, **{'train_dataloader.persistent_workers': True})
    with pytest.raises(ValueError, match='persistent_workers=False'):
        runner.train()
