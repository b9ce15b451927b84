"""Few-shot tasks as a user runs them, on toy shapes in ModelNet40's few-shot layout."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from toy_parts import save_toy_checkpoint

from mm3dpretrain.datasets.io import atomic_path
from mm3dpretrain.evaluation.few_shot import format_folds, summarize_folds
from tools import few_shot

CONFIG = """
default_scope = 'mm3dpretrain'
custom_imports = dict(imports=['toy_parts'], allow_failed_imports=False)
model = dict(type='PointClassifier', backbone=dict(type='ToyEncoder', width=16),
             head=dict(type='ClassificationHead', in_channels=16, num_classes=99,
                       hidden_channels=()))
pipeline = [dict(type='LoadPoints'), dict(type='SamplePoints', num_points=24),
            dict(type='PackTriplets')]
loader = dict(batch_size=6, num_workers=0, collate_fn=dict(type='default_collate'))
task = dict(type='ModelNetFewShot', data_root='{root}', way=5, shot=10, expected_count=None,
            pipeline=pipeline)
train_dataloader = dict(loader, dataset=dict(task, split='train'),
                        sampler=dict(type='SeededSampler', shuffle=True))
test_dataloader = dict(loader, dataset=dict(task, split='test', test_mode=True),
                       sampler=dict(type='SeededSampler', shuffle=False))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
param_scheduler = []
train_cfg = dict(type='ResumableTrainLoop', max_epochs=1)
test_cfg = dict()
test_evaluator = dict(type='ClassificationAccuracy')
default_hooks = dict(logger=dict(type='LoggerHook', interval=1),
                     checkpoint=dict(type='CheckpointHook', interval=1))
randomness = dict(seed=0)
"""


@pytest.fixture
def files(tmp_path):
    """Config, checkpoint and output folder; three-way four-shot tasks of long ellipsoids."""
    rng = np.random.default_rng(0)
    folder = tmp_path / '3way_4shot'
    folder.mkdir()
    for fold in range(2):
        task = {}
        for split, count in (('train', 4), ('test', 5)):
            clouds = rng.normal(size=(3 * count, 32, 3)).astype(np.float32)
            for i, cloud in enumerate(clouds):
                cloud[:, i % 3] *= 3
            task[split] = [(cloud, i % 3, '') for i, cloud in enumerate(clouds)]
        with atomic_path(folder / f'{fold}.pkl') as temporary:
            temporary.write_bytes(pickle.dumps(task))
    config, checkpoint = tmp_path / 'classifier.py', tmp_path / 'pretrain.pth'
    config.write_text(CONFIG.replace('{root}', str(tmp_path)))
    save_toy_checkpoint(checkpoint)
    return config, checkpoint, tmp_path / 'out'


def run(files, *more, checkpoint=True):
    config, path, out = files
    given = ['--checkpoint', str(path)] if checkpoint else []
    return few_shot.main(
        [str(config), *given, '--way', '3', '--shot', '4', '--folds', '2', '--work-dir', str(out),
         *more]
    )  # fmt: skip


def test_table_and_continuation(files, capsys):
    assert run(files) == 0
    out = capsys.readouterr().out
    assert '3-way 4-shot, mean +- standard deviation over 2 folds' in out
    table = json.loads((files[2] / '3way_4shot' / 'table.json').read_text())
    assert set(table['metrics']) == {'linear_svm', 'knn', 'finetune'}
    svm = table['metrics']['linear_svm']
    # the toy classes are easy for any encoder that sees extents
    assert svm['pretrained']['mean'] > 80 and len(svm['pretrained']['values']) == 2
    for i in range(2):
        assert svm['difference']['values'][i] == pytest.approx(
            svm['pretrained']['values'][i] - svm['scratch']['values'][i]
        )
    # finished folds are read, not run
    probe = files[2] / '3way_4shot' / 'scratch' / 'seed0' / 'fold1' / 'probe.json'
    stored = json.loads(probe.read_text())
    stored['accuracy']['knn'] = 12.5
    probe.write_text(json.dumps(stored))
    assert run(files) == 0
    assert 'knn 12.5' in capsys.readouterr().out
    # but not those of another config
    other = ['--cfg-options', 'test_dataloader.batch_size=3']
    assert run(files, '--folds', '1', '--protocols', 'probe', *other) == 0
    assert 'knn 12.5' not in capsys.readouterr().out


def test_frozen_features_are_those_of_the_checkpoint(files):
    """The probe on the toolbox's own feature extraction gives the same accuracy."""
    from mm3dpretrain.apis.features import build_dataset, extract_features
    from mm3dpretrain.datasets.samplers import mix_seed
    from mm3dpretrain.evaluation import linear_svm_probe
    from mm3dpretrain.evaluation.few_shot import build_encoder, fold_config, probe_fold
    from mm3dpretrain.utils import prepare_runtime

    cfg = fold_config(prepare_runtime(files[0]), 3, 4, 1)
    found = probe_fold(cfg, str(files[1]), 'point_encoder.', seed=5)
    model = build_encoder(cfg, str(files[1]), 'point_encoder.', seed=5)
    saved = torch.load(files[1], weights_only=False)['state_dict']
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, saved[f'point_encoder.{key}'])
    train_x, train_y = extract_features(model, build_dataset(cfg.train_dataloader.dataset), seed=5)
    test_x, test_y = extract_features(
        model, build_dataset(cfg.test_dataloader.dataset), seed=mix_seed(5, 1)
    )
    expected = linear_svm_probe(train_x, train_y, test_x, test_y, seed=5)['accuracy']
    assert found['linear_svm'] == pytest.approx(expected)
    assert cfg.model.head.num_classes == 3


def test_scratch_alone(files, capsys):
    assert run(files, '--protocols', 'probe', '--seeds', '0', '1', checkpoint=False) == 0
    out = capsys.readouterr().out
    assert 'difference' not in out and 'over 2 folds and 2 seeds' in out
    assert not list(files[2].rglob('finetune'))


def test_summary_by_hand():
    runs = dict(
        scratch={(0, 0): dict(svm=50.0), (0, 1): dict(svm=60.0), (1, 0): dict(svm=70.0)},
        pretrained={(0, 0): dict(svm=60.0), (0, 1): dict(svm=60.0), (1, 0): dict(svm=80.0)},
    )
    entry = summarize_folds(runs)['svm']
    assert entry['scratch']['mean'] == 60 and entry['scratch']['std'] == pytest.approx(10)
    assert entry['scratch']['by_seed'] == {0: 55, 1: 70}
    assert entry['difference']['values'] == [10, 0, 10] and entry['difference']['better'] == 2
    assert '+6.7 +- 5.8 | 2 of 3 runs' in format_folds(dict(svm=entry))
    del runs['pretrained'][1, 0]
    with pytest.raises(ValueError, match='same seeds and folds'):
        summarize_folds(runs)


@pytest.mark.parametrize(
    'more, message',
    [
        (['--checkpoint', 'nowhere.pth'], "checkpoint 'nowhere.pth' does not exist"),
        (['--cfg-options', 'test_dataloader.dataset.type=ToyShapes'], 'need FewShotFold or'),
        (['--prefix', 'image.', '--protocols', 'probe'], 'image.|match'),
        (['--way', '4'], '4way_4shot/0.pkl does not exist'),
    ],
)
def test_bad_requests(files, more, message, capsys):
    import re

    assert run(files, *more) == 1
    err = capsys.readouterr().err
    assert err.startswith('error: ') and re.search(message, err)


def test_bad_arguments(files, capsys):
    for more in (['--folds', '11'], ['--seeds', '0', '0'], ['--protocols', 'guess']):
        with pytest.raises(SystemExit):
            run(files, *more)
    config, _, out = files
    assert few_shot.main([str(config), '--arms', 'pretrained', '--work-dir', str(out)]) == 1
    assert 'needs --checkpoint' in capsys.readouterr().err
