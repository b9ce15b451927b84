from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from frame_sets import write_exported
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from mm3dpretrain.apis.features import build_dataset
from mm3dpretrain.registry import MODELS
from tools import precompute_teacher_features

CONFIG = """
default_scope = 'mm3dpretrain'
custom_imports = dict(imports=['mvnet_scenes'], allow_failed_imports=False)
model = dict(
    type='MVNet',
    data_preprocessor=dict(
        type='PretrainDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3
    ),
    point_encoder=dict(type='PerPointEncoder'),
    teacher=dict(type='ToyTeacher'),
    loss_weights=dict(transfer=1.0),
)
pipeline = [
    dict(type='LoadFrames'),
    dict(type='ResizeFrames', size=(30, 44)),
    dict(type='LoadSceneCloud', voxel_size=0.1),
    dict(type='SamplePoints', num_points=400, allow_repeat=True),
    dict(type='PackFrames'),
]
train_dataloader = dict(
    dataset=dict(
        type='ScanNetFrames', data_root={root!r}, split='train', workers=1,
        cache_dir={cache!r}, pipeline=pipeline,
    )
)
"""


@pytest.fixture
def setting(tmp_path):
    """Config, folder of the features, arguments of the tool."""
    write_exported(tmp_path / 'set', 4)
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=str(tmp_path / 'set'), cache=str(tmp_path / 'cache')))
    out = tmp_path / 'features'
    return path, out, [str(path), '--out', str(out), '--splits', 'train', '--device', 'cpu']


def batch(cfg, out=None):
    torch.manual_seed(0)
    dataset = dict(cfg.train_dataloader.dataset)
    if out is not None:
        dataset['pipeline'] = [
            *dataset['pipeline'],
            dict(type='LoadTeacherFeatures', cache_dir=str(out)),
        ]
    np.random.seed(0)
    dataset = build_dataset(dataset)
    return pseudo_collate([dataset[0], dataset[1]])


def test_features_give_the_loss_of_the_live_teacher(setting, capsys):
    path, out, args = setting
    assert precompute_teacher_features.main([*args, '--batch-size', '3']) == 0
    assert '4 frames computed, 0 were there, 0 left out' in capsys.readouterr().out
    cfg = Config.fromfile(path)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    losses = []
    for source in (None, out):
        data = model.data_preprocessor(batch(cfg, source))
        assert ('teacher_0' in data['inputs']) == (source is not None)
        losses.append(model.loss(data['inputs'], data['data_samples'])['loss_transfer'])
    assert losses[0] > 0.01
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-3, atol=1e-4)
    # another teacher does not take them
    other = MODELS.build(dict(cfg.model, teacher=dict(type='ToyTeacher', seed=1)))
    data = other.data_preprocessor(batch(cfg, out))
    with pytest.raises(ValueError, match='precompute_teacher_features'):
        other.loss(data['inputs'], data['data_samples'])


def test_goes_on_and_refuses_another_teacher(setting, capsys):
    _, out, args = setting
    assert precompute_teacher_features.main(args) == 0
    files = sorted(out.rglob('*.npz'))
    before = files[0].read_bytes()
    files[1].unlink()
    assert precompute_teacher_features.main(args) == 0
    assert '1 frames computed, 3 were there' in capsys.readouterr().out
    assert files[0].read_bytes() == before and files[1].is_file()
    for option in ('model.teacher.seed=1', 'model.data_preprocessor.std=[1.0,1.0,1.0]'):
        assert precompute_teacher_features.main([*args, '--cfg-options', option]) == 1
        assert 'of another teacher or of other pictures' in capsys.readouterr().err
    assert json.loads((out / 'teacher.json').read_text())['image_size'] == [30, 44]


def test_errors_are_one_line(setting, capsys):
    path, _, args = setting
    for extra in (
        ['--batch-size', '0'],
        ['--splits', 'test'],
        ['--cfg-options', 'model.teacher=None'],
    ):
        assert precompute_teacher_features.main([*args, *extra]) == 1
        err = capsys.readouterr().err
        assert err.startswith('error: ') and len(err.strip().splitlines()) == 1
    assert precompute_teacher_features.main([str(path) + 'x', *args[1:]]) == 1
    with pytest.raises(SystemExit):
        precompute_teacher_features.main(['--help'])
