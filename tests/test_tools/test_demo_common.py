from __future__ import annotations

import pytest
from mmengine.config import Config

from tools import demo
from tools.demos._common import Steps, data_time_share, scale_epochs


def config():
    return Config(
        dict(
            train_cfg=dict(max_epochs=20),
            param_scheduler=[
                dict(type='LinearLR', by_epoch=True, end=1),
                dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=20),
            ],
        )
    )


@pytest.mark.parametrize('scale, epochs', [(0.5, 10), (2.0, 40), (0.01, 1)])
def test_scaled_schedules_end_with_the_run(scale, epochs):
    cfg = config()
    scale_epochs(cfg, scale)
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.param_scheduler[-1].type == 'CosineAnnealingLR'
    assert cfg.param_scheduler[-1].end == epochs
    for scheduler in cfg.param_scheduler:
        assert isinstance(scheduler.end, int) and scheduler.begin < scheduler.end


def test_schedules_of_several_optimisers_are_scaled_once():
    cfg = config()
    shared = cfg.param_scheduler
    cfg.param_scheduler = dict(point=shared, image=shared)
    scale_epochs(cfg, 0.5)
    assert cfg.param_scheduler.point[-1].end == 10
    assert cfg.param_scheduler.point == cfg.param_scheduler.image


def test_data_time_share_leaves_out_the_first_entries():
    entries = [dict(time=1.0, data_time=1.0)] * 2 + [dict(time=1.0, data_time=0.1)] * 3
    assert data_time_share([*entries, {'probe/knn': 50.0}]) == pytest.approx(0.1)


def test_steps_keep_their_times(capsys):
    steps = Steps(2)
    with steps.step('one', 'first'):
        pass
    assert list(steps.seconds) == ['one'] and '[1/2] first' in capsys.readouterr().out


def test_unknown_method_is_named(capsys):
    with pytest.raises(SystemExit):
        demo.main(['nerf'])
    assert 'drpoint' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        demo.main(['drpoint', '--scale', '0'])
