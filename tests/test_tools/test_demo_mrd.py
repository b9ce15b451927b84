"""The demo of MRD from end to end, on a few shapes."""

from __future__ import annotations

import importlib.util
import json

import cv2
import numpy as np
import pytest

if importlib.util.find_spec('open_clip') is None:
    pytest.skip('open_clip_torch is not installed', allow_module_level=True)

from tools import demo
from tools.demos import mrd


@pytest.mark.filterwarnings('ignore')
def test_all_steps(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        mrd, 'DATA', dict(train_per_class=4, test_per_class=2, views=2, image_size=64, workers=1)
    )
    arguments = ['--work-dir', str(tmp_path / 'out'), '--data', str(tmp_path / 'shapes')]
    summary = demo.main(['mrd', *arguments, '--scale', '0.05'])
    written = json.loads((tmp_path / 'out/summary.json').read_text())
    assert written == summary and summary['held_out'] == list(mrd.HELD_OUT)
    seen, held = summary['zero_shot']['seen'], summary['zero_shot']['held_out']
    assert seen['classes'] == 21 and held['classes'] == 6
    for row in (seen, held):
        for name in ('top1', 'top5', 'teacher_top1', 'untrained_top1'):
            assert 0 <= row[name] <= 100
    assert {f'{d}_r{k}' for d in ('p2i', 'p2t', 'i2p', 't2p') for k in (1, 5, 10)} <= set(
        summary['retrieval']
    )
    for picture in summary['pictures']:
        assert np.asarray(cv2.imread(picture)).std() > 5
    assert 'categories never seen' in capsys.readouterr().out
    # what the embeddings are of goes with the checkpoint
    result = json.loads((tmp_path / 'out/seen_zero_shot.json').read_text())
    assert result['about']['texts']['key'] in str(next((tmp_path / 'out').glob('embeddings_*')))
