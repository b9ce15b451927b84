"""The demo of SimIPU from end to end, on six small streets."""

from __future__ import annotations

import json
from functools import partial

import cv2
import numpy as np
import pytest
from short_configs import shortened

pytest.importorskip('mmdet3d')

from tools import demo
from tools.demos import simipu


@pytest.mark.filterwarnings('ignore')
def test_all_steps(tmp_path, monkeypatch, capsys):
    streets = dict(train=4, val=2, image_size=(125, 414), columns=1000, workers=1, progress=False)
    write = partial(simipu.write_synthetic_streets, **streets)
    monkeypatch.setattr(simipu, 'write_synthetic_streets', write)
    alone = 'num_workers=0, persistent_workers=False'
    held = f'test_dataloader = dict({alone})'
    method = shortened(
        simipu.ROOT / 'configs' / simipu.METHOD,
        tmp_path / 'method.py',
        f'train_dataloader = dict({alone})',
        held,
    )
    monkeypatch.setattr(simipu, 'METHOD', str(method))
    few = f'train_dataloader = dict(batch_size=2, {alone}, dataset=dict(indices=[0, 1]))'
    transfers = tuple(
        (name, shortened(config, tmp_path / f'{name}.py', few, held), *rest)
        for name, config, *rest in simipu.TRANSFERS
    )
    monkeypatch.setattr(simipu, 'TRANSFERS', transfers)
    arguments = ['--work-dir', str(tmp_path / 'out'), '--data', str(tmp_path / 'streets')]
    summary = demo.main(['simipu', *arguments, '--scale', '0.01'])
    written = json.loads((tmp_path / 'out/summary.json').read_text())
    assert written['retrieval'] == summary['retrieval'] and set(written) == set(summary)
    for arm in ('pretrained', 'untrained'):
        figures = summary['retrieval'][arm]
        assert 0 <= figures['top1'] <= figures['top5'] <= 100
        assert 0 < figures['chance_top1'] < 0.2
    for name, low, high in (('depth', 0, np.inf), ('detection', 0, 100)):
        for arm in ('scratch', 'pretrained'):
            assert low <= summary['transfer'][name][arm]['mean'] <= high
    for picture in summary['pictures']:
        assert np.asarray(cv2.imread(picture)).std() > 5
    assert (tmp_path / 'out/img_encoder.pth').is_file()
    assert 'untrained' in capsys.readouterr().out
