"""The benchmark of a training step of SimIPU."""

from __future__ import annotations

import re

from tools.analysis_tools import benchmark_simipu_step

CONFIG = 'configs/simipu/simipu_r18-pillars-tiny_1xb2-40e_kitti-raw-seq.py'


def test_step_and_matching(data_root, capsys):
    arguments = [CONFIG, '--steps', '1', '--device', 'cpu', '--cfg-options']
    arguments.append('train_dataloader.num_workers=0')
    arguments.append('train_dataloader.persistent_workers=False')
    assert benchmark_simipu_step.main(arguments) == 0
    found = re.search(r'step ([\d.]+) ms, matching alone ([\d.]+) ms', capsys.readouterr().out)
    assert float(found[1]) > float(found[2]) > 0


def test_another_method_is_refused(capsys):
    config = 'configs/mvnet/mvnet_sparseunet-tiny_1xb4-12e_synthetic-rooms.py'
    assert benchmark_simipu_step.main([config]) == 1
    assert 'not a SimIPU' in capsys.readouterr().err
