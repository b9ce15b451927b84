"""What checkpoints say about their data."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from mm3dpretrain.registry import HOOKS
from mm3dpretrain.structures import PretrainDataSample


def saved(batches, **kwargs):
    hook = HOOKS.build(dict(type='CheckpointMetaHook', **kwargs))
    data = SimpleNamespace(metainfo=dict(gravity_axis='y', normalization='unit_sphere'))
    runner = SimpleNamespace(
        model=torch.nn.Linear(1, 1), train_dataloader=SimpleNamespace(dataset=data)
    )
    for number, batch in enumerate(batches):
        hook.before_train_iter(runner, number, batch)
    checkpoint = dict(meta={})
    hook.before_save_checkpoint(runner, checkpoint)
    return checkpoint['meta']['mm3dpretrain']


def batch(**meta):
    return dict(inputs={}, data_samples=[PretrainDataSample(metainfo=meta)])


def test_conventions_of_the_data():
    record = saved([], point_channels=('x', 'y', 'z', 'r', 'g', 'b'))
    assert record['gravity_axis'] == 'y' and record['normalization'] == 'unit_sphere'
    assert record['point_channels'] == list('xyzrgb') and record['method'] == 'Linear'
    assert 'embedding_key' not in record


def test_teacher_of_the_embeddings():
    assert saved([batch(embedding_key='clip-1'), batch()])['embedding_key'] == 'clip-1'
    assert 'embedding_key' not in saved([batch(), [1, 2]])
