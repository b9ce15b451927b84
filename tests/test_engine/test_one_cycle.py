"""The one-cycle schedule equals PyTorch's and survives a checkpoint of plain data."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import init_default_scope

from mm3dpretrain.engine.optim import OneCycleLR
from mm3dpretrain.registry import PARAM_SCHEDULERS

OPTIONS = dict(eta_max=1e-2, div_factor=25, final_div_factor=100)


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-2)


def rates(scheduler, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(scheduler.optimizer.param_groups[0]['lr'])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_equals_pytorch():
    mine = OneCycleLR(optimizer(), end=40, by_epoch=False, **OPTIONS)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer(), 1e-2, total_steps=40, div_factor=25, final_div_factor=100
    )
    assert rates(mine, 39) == pytest.approx(rates(reference, 39), rel=1e-9)


def test_resumes_from_plain_data(tmp_path):
    whole = rates(OneCycleLR(optimizer(), end=40, by_epoch=False, **OPTIONS), 39)
    first = OneCycleLR(optimizer(), end=40, by_epoch=False, **OPTIONS)
    start = rates(first, 15)
    torch.save([first.state_dict(), first.optimizer.state_dict()], tmp_path / 'state.pth')
    state, optim_state = torch.load(tmp_path / 'state.pth', weights_only=True)
    second = OneCycleLR(optimizer(), end=40, by_epoch=False, **OPTIONS)
    second.load_state_dict(state)
    second.optimizer.load_state_dict(optim_state)
    assert start + rates(second, 24) == pytest.approx(whole, rel=1e-9)


def test_configs_mean_this_one():
    init_default_scope('mm3dpretrain')
    assert PARAM_SCHEDULERS.get('OneCycleLR') is OneCycleLR
