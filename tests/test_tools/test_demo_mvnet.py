"""The demo of MVNet from end to end, on four small rooms."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from short_configs import shortened

pytest.importorskip('mmdet3d')

from tools import demo
from tools.demos import mvnet


@pytest.mark.filterwarnings('ignore')
def test_all_steps(tmp_path, monkeypatch, capsys):
    configs = mvnet.ROOT / 'configs'
    rooms = dict(train=3, val=1, frames=12, steps=1, image_size=(60, 80), num_points=6000)
    monkeypatch.setattr(mvnet, 'ROOMS', dict(rooms, workers=1, progress=False))
    small = 'train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)'
    held = 'test_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False)'
    for name, file in (('TEACHER', mvnet.TEACHER), ('METHOD', mvnet.METHOD)):
        path = shortened(configs / file, tmp_path / f'{name.lower()}.py', small, held)
        monkeypatch.setattr(mvnet, name, str(path))
    monkeypatch.setattr(
        mvnet,
        'SEGMENTATION',
        shortened(
            mvnet.SEGMENTATION,
            tmp_path / 'segmentation.py',
            'train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,',
            '    dataset=dict(scene_idxs=[0, 1]))',
            held,
        ),
    )
    arguments = ['--work-dir', str(tmp_path / 'out'), '--data', str(tmp_path / 'rooms')]
    summary = demo.main(['mvnet', *arguments, '--scale', '0.1'])
    written = json.loads((tmp_path / 'out/summary.json').read_text())
    assert written['views'] == summary['views'] and set(written) == set(summary)
    for arm in ('pretrained', 'untrained'):
        figures = summary['views'][arm]
        assert 0 <= figures['median_px'] < 200 and -1 <= figures['teacher_cosine'] <= 1
        assert figures['queries'] > 0
    for arm in ('scratch', 'pretrained'):
        assert 0 <= summary['transfer'][arm]['mean'] <= 1
    for picture in summary['pictures']:
        assert np.asarray(cv2.imread(picture)).std() > 5
    text = capsys.readouterr().out
    assert 'weights of the decoder were left out' in text and 'median error' in text
