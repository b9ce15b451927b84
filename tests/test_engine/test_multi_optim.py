from __future__ import annotations

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

import mm3dpretrain.engine  # noqa: F401  registers the constructor
from mm3dpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.point = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.image = nn.Linear(3, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.point(x) + self.image(x)).mean()


def build(model, **branches):
    return OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(type='MultiOptimWrapperConstructor', optim_wrapper_cfg=branches)
    )(model)


POINT = dict(
    modules=['point'],
    optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.5),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
REST = dict(modules=['*'], optimizer=dict(type='SGD', lr=0.2))


def test_each_branch_has_its_own_optimiser():
    model = Net()
    wrapper = build(model, point=POINT, rest=REST)
    assert wrapper.get_lr()['point.lr'][0] == 0.1 and wrapper.get_lr()['rest.lr'][0] == 0.2
    decays = {g['weight_decay'] for g in wrapper['point'].param_groups}
    assert decays == {0.0, 0.5}, 'the norm layer keeps its own rule'

    # one step equals SGD by hand for the second branch
    x = torch.randn(5, 3)
    before = model.image.weight.detach().clone()
    point_before = model.point[0].weight.detach().clone()
    loss = model(x)
    grad = torch.autograd.grad(loss, model.image.weight, retain_graph=True)[0]
    wrapper.update_params(loss)
    torch.testing.assert_close(model.image.weight.detach(), before - 0.2 * grad)
    assert not torch.equal(point_before, model.point[0].weight)
    assert model.image.weight.grad is None


def test_accumulation_steps_all_at_once():
    model = Net()
    wrapper = build(
        model, point=dict(POINT, accumulative_counts=2), rest=dict(REST, accumulative_counts=2)
    )
    wrapper.initialize_count_status(model, 0, 4)
    before = [p.detach().clone() for p in model.parameters()]
    wrapper.update_params(model(torch.randn(5, 3)))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    wrapper.update_params(model(torch.randn(5, 3)))
    changed = [not torch.equal(a, b) for a, b in zip(before, model.parameters())]
    assert sum(changed) >= 4


def test_state_survives():
    model = Net()
    wrapper = build(
        model, point=POINT, rest=dict(REST, optimizer=dict(type='SGD', lr=1, momentum=0.9))
    )
    wrapper.update_params(model(torch.randn(5, 3)))
    state = wrapper.state_dict()
    fresh = build(
        model, point=POINT, rest=dict(REST, optimizer=dict(type='SGD', lr=1, momentum=0.9))
    )
    fresh.load_state_dict(state)
    for name in ('point', 'rest'):
        restored = fresh[name].optimizer.state_dict()['state']
        assert restored and str(restored) == str(wrapper[name].optimizer.state_dict()['state'])


@pytest.mark.parametrize(
    'branches, message',
    [
        (dict(point=POINT), 'belong to no optimiser'),
        (dict(point=POINT, rest=dict(REST, modules=['nothing'])), 'no optimiser|no parameters'),
        (dict(a=POINT, b=dict(REST, modules=['point', '*'])), 'named by'),
        (dict(point=dict(POINT, accumulative_counts=2), rest=REST), 'accumulative_counts'),
    ],
)
def test_mistakes_are_named(branches, message):
    with pytest.raises(ValueError, match=message):
        build(Net(), **branches)


def test_frozen_branch_is_left_out():
    model = Net()
    model.point.requires_grad_(False)
    wrapper = build(model, point=POINT, rest=REST)
    assert list(wrapper.keys()) == ['rest']
    model.requires_grad_(False)
    with pytest.raises(ValueError, match='every parameter is frozen'):
        build(model, point=POINT, rest=REST)


def test_bfloat16_wrapper_runs_the_forward_in_bfloat16():
    model = Net()
    wrapper = build_optim_wrapper(
        model, dict(type='mm3dpretrain.BFloat16OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    )
    with wrapper.optim_context(model):
        assert model.image(torch.randn(2, 3)).dtype == torch.bfloat16
    loss = model(torch.randn(5, 3))
    wrapper.update_params(loss)
    assert model.image.weight.dtype == torch.float32
