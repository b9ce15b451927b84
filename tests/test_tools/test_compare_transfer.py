"""Scratch against pre-trained, as a user types it, on toy shapes."""

from __future__ import annotations

import json

import pytest
import torch
from toy_parts import save_toy_checkpoint

from tools import compare_transfer

CONFIG = """
default_scope = 'mm3dpretrain'
custom_imports = dict(imports=['toy_parts'], allow_failed_imports=False)
model = dict(type='PointClassifier', backbone=dict(type='ToyEncoder', width=16),
             head=dict(type='ClassificationHead', in_channels=16, num_classes=3,
                       hidden_channels=()))
loader = dict(batch_size=8, num_workers=0, collate_fn=dict(type='default_collate'))
train_dataloader = dict(loader, dataset=dict(type='ToyShapes'),
                        sampler=dict(type='SeededSampler', shuffle=True))
test_dataloader = dict(loader, dataset=dict(type='ToyShapes', size=12),
                       sampler=dict(type='SeededSampler', shuffle=False))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
param_scheduler = []
train_cfg = dict(type='ResumableTrainLoop', max_epochs=2)
test_cfg = dict()
test_evaluator = dict(type='ClassificationAccuracy')
default_hooks = dict(logger=dict(type='LoggerHook', interval=1),
                     checkpoint=dict(type='CheckpointHook', interval=1))
"""


@pytest.fixture
def files(tmp_path):
    config, checkpoint = tmp_path / 'classifier.py', tmp_path / 'pretrain.pth'
    config.write_text(CONFIG)
    save_toy_checkpoint(checkpoint)
    return config, checkpoint, tmp_path / 'out'


def run(files, *more):
    config, checkpoint, out = files
    return compare_transfer.main(
        [str(config), '--checkpoint', str(checkpoint), '--seeds', '0', '1',
         '--work-dir', str(out), *more]
    )  # fmt: skip


def test_table_curves_and_continuation(files, capsys):
    assert run(files) == 0
    out = files[2]
    first = capsys.readouterr().out
    table = json.loads((out / 'table.json').read_text())
    assert table['seeds'] == [0, 1]
    (name,) = [key for key in table['metrics'] if key.endswith('top1')]
    entry = table['metrics'][name]
    for i in range(2):
        assert entry['difference']['values'][i] == pytest.approx(
            entry['pretrained']['values'][i] - entry['scratch']['values'][i]
        )
    assert name in first and '2 seeds' in first
    assert (out / 'curves.png').stat().st_size > 1000
    # both arms did the same number of steps; the finished runs are not repeated
    files_before = {p: p.stat().st_mtime_ns for p in out.rglob('epoch_2.pth')}
    assert len(files_before) == 4
    assert run(files) == 0
    assert 'already trained' in capsys.readouterr().out
    assert files_before == {p: p.stat().st_mtime_ns for p in out.rglob('epoch_2.pth')}


def test_another_pretraining_below_the_same_name_is_not_passed_over(files, capsys):
    assert run(files) == 0
    content = torch.load(files[1])
    torch.save(dict(content, note='only the file is another one'), files[1])
    dates = {p: p.stat().st_mtime_ns for p in files[2].rglob('epoch_2.pth')}
    assert run(files) == 0
    assert dates == {p: p.stat().st_mtime_ns for p in dates}
    content['state_dict']['point_encoder.last.weight'] += 1
    torch.save(content, files[1])
    capsys.readouterr()
    assert run(files) == 0
    assert capsys.readouterr().out.count('the checkpoint has changed') == 2
    again = {p for p, date in dates.items() if p.stat().st_mtime_ns != date}
    assert again == {p for p in dates if 'pretrained' in p.parts}


def test_every_run_logs_in_its_own_folder(files):
    """Also where the config names the visualiser, as all of mmdet3d do."""
    config = files[0]
    config.write_text(
        CONFIG + "visualizer = dict(type='Visualizer', name='visualizer',"
        " vis_backends=[dict(type='LocalVisBackend')])\n"
    )
    assert run(files) == 0
    for arm in ('scratch', 'pretrained'):
        for seed in (0, 1):
            (scalars,) = (files[2] / arm / f'seed{seed}').glob('*/vis_data/scalars.json')
            losses = [json.loads(line) for line in scalars.read_text().splitlines()]
            assert losses and all('loss' in one for one in losses)


def test_the_arms_start_where_they_say(files):
    """With a learning rate of 0 the encoders stay what they were at the start."""
    assert run(files, '--cfg-options', 'optim_wrapper.optimizer.lr=0.0') == 0
    pretrained = torch.load(files[1])['state_dict']['point_encoder.last.weight']

    def weight(arm, seed):
        path = files[2] / arm / f'seed{seed}' / 'epoch_2.pth'
        return torch.load(path, weights_only=True)['state_dict']['backbone.last.weight']

    assert torch.equal(weight('pretrained', 0), pretrained)
    assert torch.equal(weight('pretrained', 1), pretrained)
    assert not torch.equal(weight('scratch', 0), pretrained)
    assert not torch.equal(weight('scratch', 0), weight('scratch', 1))


def test_what_does_not_arrive_is_an_error(files, capsys):
    assert run(files, '--prefix', 'image_encoder.') == 1
    assert "prefix 'image_encoder.'" in capsys.readouterr().err
    assert run(files, '--module', 'neck') == 1
    assert "no part 'neck'" in capsys.readouterr().err
    files[1].unlink()
    assert run(files) == 1
    assert 'pretrain.pth' in capsys.readouterr().err


def test_printed_metrics_are_chosen_by_parts_of_their_names():
    table = {'KITTI/AP40': {}, 'KITTI/AP11': {}, 'boxes/recall': {}}
    assert list(compare_transfer._selected(table, None)) == list(table)
    assert list(compare_transfer._selected(table, ['AP40', 'recall'])) == [
        'KITTI/AP40',
        'boxes/recall',
    ]
    with pytest.raises(ValueError, match='boxes/recall'):
        compare_transfer._selected(table, ['mIoU'])
