from __future__ import annotations

import pytest
import torch
from dist_utils import run_distributed

from mm3dpretrain.models.losses import FixedWeights, UncertaintyWeights


def test_fixed():
    weights = FixedWeights(['a', 'b'], dict(b=0.5))
    losses = dict(a=torch.tensor(2.0), b=torch.tensor(3.0))
    weighted, shown = weights(losses)
    assert weighted == dict(a=2.0, b=1.5) and shown == dict(a=1.0, b=0.5)
    assert not list(weights.parameters())
    with pytest.raises(ValueError, match='unknown terms'):
        FixedWeights(['a'], dict(c=1.0))


def held(weights, losses, steps=500, lr=0.1):
    """Train the weights alone on losses that stay what they are."""
    optimizer = torch.optim.SGD(weights.parameters(), lr=lr)
    for _ in range(steps):
        weighted, shown = weights(losses)
        optimizer.zero_grad()
        sum(weighted.values()).backward()
        optimizer.step()
    return {name: value.item() for name, value in shown.items()}


def test_uncertainty_does_not_collapse():
    """Trap 4 of the method: losses held at 0.5 and 2 keep the weights 1 / L, none vanishes."""
    losses = dict(small=torch.tensor(0.5), large=torch.tensor(2.0))
    found = held(UncertaintyWeights(['small', 'large']), losses)
    assert found['small'] == pytest.approx(2.0, rel=1e-2)
    assert found['large'] == pytest.approx(0.5, rel=1e-2)
    # the twin that does: a softmax gives everything to the smaller loss
    logits = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=0.1)
    for _ in range(500):
        optimizer.zero_grad()
        (logits.softmax(0) @ torch.stack(list(losses.values()))).backward()
        optimizer.step()
    assert logits.softmax(0)[0] > 0.99


@pytest.mark.parametrize('level', [0.0, 1e-6, 1e4])
def test_uncertainty_stays_in_its_range(level):
    found = held(UncertaintyWeights(['x'], limit=4.6), dict(x=torch.tensor(level)), lr=1.0)
    assert 0.01 <= found['x'] <= 100


def test_what_no_sample_has_moves_no_weight():
    losses = dict(x=torch.tensor(0.0, requires_grad=True), y=torch.tensor(2.0))
    weights = UncertaintyWeights(['x', 'y'])
    found = held(weights, losses)
    assert found['x'] == 1 and found['y'] == pytest.approx(0.5, rel=1e-2)
    # the term is still part of the graph: other processes may wait for its backward pass
    weights(losses)[0]['x'].backward()
    assert losses['x'].grad is not None


def _one_without(rank, world_size):
    weights = UncertaintyWeights(['x'])
    value = torch.tensor([0.0, 3.0][rank])  # samples of the term are on the second process alone
    weights(dict(x=value))[0]['x'].backward()
    return weights.log_variance['x'].grad.item()


def test_a_term_of_one_process_is_a_term_of_all():
    # the average of the processes is that of the global value 1.5: 1 - 1.5
    assert sum(run_distributed(_one_without, 2)) / 2 == pytest.approx(-0.5)


def test_uncertainty_starts_at_one_and_trains():
    weights = UncertaintyWeights(['x', 'y'])
    losses = dict(x=torch.tensor(3.0, requires_grad=True), y=torch.tensor(0.2))
    weighted, shown = weights(losses)
    assert weighted['x'] == 3 and shown == dict(x=1.0, y=1.0) and not shown['x'].requires_grad
    sum(weighted.values()).backward()
    assert weights.log_variance['x'].grad == -2 and losses['x'].grad == 1
    assert weights.log_variance['y'].grad == pytest.approx(0.8)
    # only some of the terms may be there
    assert set(weights(dict(y=torch.tensor(1.0)))[0]) == {'y'}
    with pytest.raises(ValueError, match='limit'):
        UncertaintyWeights(['x'], limit=0)
