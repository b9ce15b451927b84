"""The command that measures overlap before a training."""

from __future__ import annotations

import pytest

from mm3dpretrain.datasets import frame_overlap
from tests.frame_sets import write_exported
from tools.dataset_converters import measure_frame_overlap


def test_list_and_cache(tmp_path, capsys, monkeypatch):
    write_exported(tmp_path / 'set', num=4, shift=0.5)
    config = tmp_path / 'config.py'
    config.write_text(
        "train_dataloader = dict(dataset=dict(type='ScanNetFrames', "
        f"data_root='{tmp_path / 'set'}', cache_dir='{tmp_path / 'cache'}'))\n"
    )
    out = tmp_path / 'pairs.txt'
    assert measure_frame_overlap.main([str(config), '--workers', '1', '--out', str(out)]) == 0
    assert 'pairs of 1 scans, median overlap' in capsys.readouterr().out
    rows = [line.split() for line in out.read_text().splitlines()]
    assert ['scene0000_00/0', 'scene0000_00/1'] in [row[:2] for row in rows]
    assert all(0.3 <= float(row[2]) <= 1 for row in rows)

    # the training finds it, whatever the threshold
    def fail(*_):
        raise AssertionError('measured again')

    monkeypatch.setattr(frame_overlap, 'scan_overlap', fail)
    options = ['--cfg-options', 'min_overlap=0.5']
    assert measure_frame_overlap.main([str(config), *options, '--out', str(out)]) == 0
    assert len(out.read_text().splitlines()) < len(rows)


def test_errors(tmp_path, capsys):
    config = tmp_path / 'config.py'
    config.write_text("train_dataloader = dict(dataset=dict(type='ShapeNet55', data_root='x'))\n")
    assert measure_frame_overlap.main([str(config)]) == 1
    assert 'is no set of RGB-D frames' in capsys.readouterr().err
    config.write_text(
        "train_dataloader = dict(dataset=dict(type='ScanNetFrames', data_root='x'))\n"
    )
    assert measure_frame_overlap.main([str(config)]) == 1
    assert 'does not exist' in capsys.readouterr().err
    assert measure_frame_overlap.main([str(config), '--loader', 'val_dataloader']) == 1
    with pytest.raises(SystemExit) as stop:
        measure_frame_overlap.main(['--help'])
    assert stop.value.code == 0
