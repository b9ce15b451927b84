from __future__ import annotations

import pytest
import torch

from mm3dpretrain.models.losses import ChamferLoss, DepthRenderLoss


def naive(x, y, power):
    total = 0
    for a, b in ((x, y), (y, x)):
        for cloud, other in zip(a, b):
            nearest = [min((p - q).norm() ** power for q in other) for p in cloud]
            total = total + sum(nearest) / len(nearest)
    return total / len(x)


@pytest.mark.parametrize('norm', ['l1', 'l2'])
def test_chamfer_equals_loops(norm):
    x, y = torch.randn(2, 6, 3), torch.randn(2, 9, 3)
    expected = naive(x, y, 2) if norm == 'l2' else naive(x, y, 1) / 2
    loss = ChamferLoss(norm)
    torch.testing.assert_close(loss(x, y), expected)
    torch.testing.assert_close(loss(x, y), loss(y, x))
    assert loss(x, x) == 0


def test_chamfer_gradient_is_finite_at_coincident_points():
    x = torch.randn(1, 5, 3, requires_grad=True)
    ChamferLoss('l1')(x, x.detach()).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize('norm', ['l1', 'l2', 'smooth_l1'])
def test_render_loss(norm):
    truth = torch.rand(2, 1, 4, 4, requires_grad=True)
    guess = torch.rand(2, 1, 4, 4, requires_grad=True)
    loss = DepthRenderLoss(norm)
    assert loss(truth, truth) == 0
    loss(guess, truth).backward()
    assert guess.grad.abs().sum() > 0 and truth.grad is None


@pytest.mark.parametrize('kind', [ChamferLoss, DepthRenderLoss])
def test_unknown_norm(kind):
    with pytest.raises(ValueError, match="'l7'"):
        kind('l7')
