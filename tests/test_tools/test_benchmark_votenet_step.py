"""The benchmark of a VoteNet step runs on small scenes."""

from __future__ import annotations

import pytest

pytest.importorskip('mmdet3d')

from mmengine.registry import init_default_scope

from tools.analysis_tools import benchmark_votenet_step


@pytest.fixture(autouse=True)
def scope():
    yield
    init_default_scope('mm3dpretrain')


def test_prints_seconds_of_a_step(capsys):
    arguments = ['--steps', '1', '--batch', '1', '--points', '2048', '--threads', '1']
    assert benchmark_votenet_step.main(arguments) == 0
    assert 'VoteNet, 1 x 2048 points, 1 threads: median ' in capsys.readouterr().out


def test_refuses_nothing_to_do(capsys):
    with pytest.raises(SystemExit):
        benchmark_votenet_step.main(['--steps', '0'])
    assert 'at least 1' in capsys.readouterr().err
