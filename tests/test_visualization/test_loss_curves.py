import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mm3dpretrain.visualization.loss_curves import draw_curves, read_scalars, series

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'analysis_tools' / 'plot_curves.py'


def write_run(folder: Path, start: str, rows: list[dict], tail: str = '') -> Path:
    file = folder / start / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(json.dumps(row) for row in rows) + '\n' + tail)
    return file


def entries(count: int = 5, factor: float = 1.0) -> list[dict]:
    rows = [dict(step=i, loss=factor / (i + 1), loss_cd=0.1, lr=1e-3) for i in range(count)]
    rows[-1].update({'probe/knn': 50.0, 'probe/knn_untrained': 40.0})
    return rows


def test_resumed_runs_and_probes_are_merged_by_step(tmp_path):
    first = write_run(tmp_path, '20260101_000000', [dict(step=1, loss=5), dict(step=2, loss=4)])
    write_run(
        tmp_path,
        '20260102_000000',
        [dict(step=2, loss=3), {'probe/knn': 7.0, 'step': 2}, dict(step=3, loss=2)],
    )
    assert read_scalars(tmp_path) == [
        dict(step=1, loss=5),
        {'step': 2, 'loss': 3, 'probe/knn': 7.0},
        dict(step=3, loss=2),
    ]
    assert len(read_scalars(first)) == 2


def test_broken_lines(tmp_path):
    cut = write_run(tmp_path / 'cut', 'a', [dict(step=1, loss=5)], tail='{"step": 2, "lo')
    assert read_scalars(cut) == [dict(step=1, loss=5)]
    bad = write_run(tmp_path / 'bad', 'a', [dict(step=1)], tail='oops\n{"step": 2}\n')
    with pytest.raises(ValueError, match='scalars.json, line 2'):
        read_scalars(bad)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        read_scalars(tmp_path / 'nowhere')


def test_series_leave_out_steps_without_the_value():
    steps, values = series([dict(step=1, a=2.0), dict(step=4), dict(step=5, a=3.0)], 'a')
    assert steps.tolist() == [1, 5] and values.tolist() == [2, 3]


def test_picture_has_a_panel_for_each_loss_and_probe(tmp_path):
    one = cv2.imread(str(draw_curves(entries(), tmp_path / 'one.png', keys=['loss'])))
    all_of = cv2.imread(str(draw_curves(entries(), tmp_path / 'all.png', title='run')))
    assert all_of.shape[1] == 3 * one.shape[1] and all_of.shape[0] == one.shape[0]
    assert all_of.std() > 5
    assert [p.name for p in sorted(tmp_path.iterdir())] == ['all.png', 'one.png']


def test_several_runs_have_their_own_colour(tmp_path):
    both = {'a': entries(), 'b': entries(factor=2.0)}
    pictures = [
        cv2.imread(str(draw_curves(runs, tmp_path / f'{i}.png', keys=['loss'])))
        for i, runs in enumerate([dict(a=both['a']), both])
    ]
    orange = [(np.abs(p.astype(int) - [14, 127, 255]).max(axis=-1) < 40).sum() for p in pictures]
    assert orange[0] == 0 and orange[1] > 20


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match='loss_x'):
        draw_curves(entries(), tmp_path / 'a.png', keys=['loss_x'])
    with pytest.raises(ValueError, match='no loss'):
        draw_curves([], tmp_path / 'a.png')
    assert not list(tmp_path.iterdir())


def test_tool(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location('plot_curves', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for name in ('x', 'y'):
        write_run(tmp_path / name / 'pretrain', 'a', entries())
    runs = [str(tmp_path / name / 'pretrain') for name in ('x', 'y')]
    out = tmp_path / 'curves.png'
    assert tool.main([*runs, '--out', str(out)]) == 0 and out.is_file()
    assert tool.main([runs[0], '--out', str(out), '--keys', 'nothing']) == 1
    assert tool.main(['nowhere', '--out', str(out)]) == 1
    assert 'nowhere' in capsys.readouterr().err
