"""The benchmark of overlap and correspondences."""

from __future__ import annotations

import json

import pytest

from tools.analysis_tools import benchmark_frames


def test_benchmark(tmp_path, capsys):
    out = tmp_path / 'figures.json'
    arguments = ['--pairs', '10', '--image-size', '48', '64', '--stride', '2', '--json', str(out)]
    assert benchmark_frames.main([*arguments, '--workers', '1', '--queries', '8']) == 0
    figures = json.loads(out.read_text())
    assert figures['pairs'] == 10 and figures['image_size'] == [48, 64]
    assert 0 <= figures['mean_error'] <= figures['largest_error'] < 0.1
    assert figures['overlap_seconds'] > 0 and figures['correspondence_seconds'] > 0
    assert 'pairs_decided_otherwise' in capsys.readouterr().out


def test_wrong_input(capsys):
    assert benchmark_frames.main(['--image-size', '4', '4', '--pairs', '1']) == 1
    assert 'error: image_size must be at least' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        benchmark_frames.main(['--stride', '0'])
