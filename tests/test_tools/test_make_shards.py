from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config

from mm3dpretrain.datasets import ShardedTriplets
from tools.analysis_tools import benchmark_shards
from tools.dataset_converters.make_shards import main, reading_dataset

DIM = 4


@pytest.fixture
def config(tmp_path):
    """Five shapes in OpenShape's layout, and a training config of them."""
    root = tmp_path / 'openshape'
    (root / 'ABO').mkdir(parents=True)
    (root / 'meta_data' / 'split').mkdir(parents=True)
    rng = np.random.default_rng(0)
    items = []
    for i in range(5):
        data = dict(
            xyz=rng.uniform(-1, 1, (40, 3)).astype(np.float32),
            rgb=rng.uniform(0, 1, (40, 3)).astype(np.float32),
            image_feat=rng.normal(size=(3, DIM)).astype(np.float32),
        )
        np.save(root / 'ABO' / f'a{i}.npy', data, allow_pickle=True)
        items.append(dict(dataset='ABO', group='', id=f'a{i}', data_path=f'ABO/a{i}.npy'))
    (root / 'meta_data' / 'split' / 'train_all.json').write_text(json.dumps(items))
    path = tmp_path / 'config.py'
    pipeline = [
        dict(type='LoadPoints', attributes=['rgb']),
        dict(type='PickEmbeddings'),
        dict(type='RandomScaleShift'),
        dict(type='PackTriplets'),
    ]
    dataset = dict(
        type='OpenShapeTriplets', data_root=str(root), text_filter=False, pipeline=pipeline
    )
    Config(dict(train_dataloader=dict(dataset=dataset))).dump(str(path))
    return path


def test_writes_what_was_read_and_not_what_was_augmented(config, tmp_path, capsys):
    out = tmp_path / 'shards'
    arguments = [str(config), '--out', str(out), '--samples-per-shard', '2', '--workers', '1']
    assert main([*arguments, '--num-points', '16', '--embedding-key', 'bigG']) == 0
    assert '5 samples in 3 shards' in capsys.readouterr().out
    samples = {s['sample_id']: s for s in ShardedTriplets(str(out), num_epochs=1)}
    assert sorted(samples) == [f'ABO/a{i}' for i in range(5)]
    stored = np.load(config.parent / 'openshape/ABO/a1.npy', allow_pickle=True).item()
    sample = samples['ABO/a1']
    assert sample['points'].shape == (16, 6) and sample['embedding_key'] == 'bigG'
    # the points are some of the file, with y and z exchanged
    distance = np.abs(sample['points'][:, None, :3] - stored['xyz'][None][..., [0, 2, 1]]).max(-1)
    assert distance.min(1).max() < 3e-4
    np.testing.assert_array_equal(sample['image_features'], stored['image_feat'].astype(np.float16))
    assert main([*arguments, '--num-points', '16', '--embedding-key', 'bigG']) == 0
    assert '3 shards were there' in capsys.readouterr().out


def test_broken_sample_is_told_by_the_exit_code(config, tmp_path, capsys):
    (config.parent / 'openshape/ABO/a2.npy').write_bytes(b'nothing')
    assert main([str(config), '--out', str(tmp_path / 'shards'), '--workers', '1']) == 1
    told = capsys.readouterr()
    assert 'a2.npy' in told.err and '4 samples in 1 shards' in told.out


def test_wrong_use_is_an_error_without_a_traceback(config, tmp_path, capsys):
    assert main([str(tmp_path / 'none.py'), '--out', 'x']) == 1
    assert main([str(config), '--out', str(tmp_path / 'o'), '--loader', 'val_dataloader']) == 1
    assert main([str(config), '--out', str(tmp_path / 'o'), '--samples-per-shard', '0']) == 1
    told = capsys.readouterr().err
    assert 'none.py' in told and "['train_dataloader']" in told and 'samples_per_shard' in told


def test_pipelines_of_joined_sets():
    part = dict(type='A', pipeline=[dict(type='LoadPoints'), dict(type='JitterPoints')])
    both = dict(type='ConcatDataset', datasets=[part, part])
    joined = reading_dataset(both, ['LoadPoints'], 8, 'fps')
    for dataset in joined['datasets']:
        assert [step['type'] for step in dataset['pipeline']] == ['LoadPoints', 'SamplePoints']


def test_benchmark(tmp_path, capsys):
    arguments = ['--samples', '24', '--num-points', '32', '--image-dim', '8', '--batch-size', '8']
    arguments += ['--samples-per-shard', '10', '--workers', '0', '--repeats', '1']
    assert benchmark_shards.main([*arguments, '--out', str(tmp_path / 'figures.json')]) == 0
    figures = json.loads((tmp_path / 'figures.json').read_text())
    assert figures['shards_workers0'] > 0 and figures['files_workers0'] > 0
    assert 'samples/s' in capsys.readouterr().out
    assert benchmark_shards.main(['--samples', '0']) == 1
