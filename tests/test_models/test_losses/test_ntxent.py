from __future__ import annotations

import numpy as np
import pytest
import torch
from dist_utils import run_distributed

from mm3dpretrain.models.losses import InfoNCELoss, NTXentLoss


def manual_ntxent(x, y, t):
    """The formula of the docstring as loops."""
    x = x / x.norm(dim=1, keepdim=True)
    y = y / y.norm(dim=1, keepdim=True)

    def one(a, b):
        total = 0
        for i in range(len(a)):
            denominator = sum((a[i] @ b[k] / t).exp() for k in range(len(a)))
            denominator += sum((a[i] @ a[k] / t).exp() for k in range(len(a)) if k != i)
            total = total - ((a[i] @ b[i] / t).exp() / denominator).log()
        return total

    return (one(x, y) + one(y, x)) / (2 * len(x))


@pytest.mark.parametrize('temperature', [0.07, 0.1, 1.0])
def test_equals_manual_and_is_symmetric(temperature):
    x, y = torch.randn(2, 5, 8)
    loss = NTXentLoss(temperature)
    torch.testing.assert_close(loss(x, y), manual_ntxent(x, y, temperature))
    torch.testing.assert_close(loss(x, y), loss(y, x))


@pytest.mark.parametrize('case', ['case0', 'case1', 'case2'])
def test_parity_with_lightly(golden, case):
    ref = {k.split('/')[1]: v for k, v in golden('losses/lightly_ntxent.npz').items() if case in k}
    x = torch.from_numpy(ref['out0']).requires_grad_()
    y = torch.from_numpy(ref['out1']).requires_grad_()
    value = NTXentLoss(float(ref['temperature']))(x, y)
    value.backward()
    np.testing.assert_allclose(value.item(), ref['loss'], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(x.grad, ref['grad0'], atol=1e-6)
    np.testing.assert_allclose(y.grad, ref['grad1'], atol=1e-6)


def test_clip_form_parity_with_openshape(golden):
    """The plain form of OpenShape's loss is the symmetric InfoNCE."""
    names = golden('losses/openshape_contras_loss.npz')
    cases = sorted({k.split('/')[0] for k in names if k.endswith('/loss')})
    assert cases
    checked = 0
    for case in cases:
        ref = {k.split('/', 1)[1]: v for k, v in names.items() if k.startswith(case + '/')}
        if any('mask' in k for k in ref):
            continue
        feats = [v for v in ref.values() if v.ndim == 2][:2]
        scale = next(v for k, v in ref.items() if 'scale' in k and 'grad' not in k)
        scale = float(np.exp(scale)) if float(scale) < 10 else float(scale)
        loss = InfoNCELoss(1.0 / scale)(*map(torch.from_numpy, feats))
        np.testing.assert_allclose(loss.item(), ref['loss'], rtol=1e-5)
        checked += 1
    assert checked


@pytest.mark.parametrize('loss', [NTXentLoss(0.05), InfoNCELoss(0.05)])
def test_near_minimum_for_aligned_features(loss):
    x = torch.eye(8)
    assert loss(x, 3 * x) < 1e-3
    assert loss(x, x.flip(0)) > 10


@pytest.mark.parametrize('loss', [NTXentLoss(0.2), InfoNCELoss(0.2)])
def test_gradcheck(loss):
    # the losses compute in float32: compare with central differences of the right size
    x, y = torch.randn(2, 4, 6)
    x.requires_grad_()
    loss(x, y).backward()
    for i, j in [(0, 0), (2, 3), (3, 5)]:
        step = torch.zeros_like(x)
        step[i, j] = 1e-2
        with torch.no_grad():
            numeric = (loss(x + step, y) - loss(x - step, y)) / 2e-2
        torch.testing.assert_close(x.grad[i, j], numeric, rtol=2e-2, atol=1e-4)


@pytest.mark.parametrize('kind', [NTXentLoss, InfoNCELoss])
def test_wrong_shapes(kind):
    with pytest.raises(ValueError, match=r'\(4, 8\) and \(5, 8\)'):
        kind()(torch.randn(4, 8), torch.randn(5, 8))


def _rank_loss(rank, world_size, kind, x, y, weight):
    size = len(x) // world_size
    weight = weight.clone().requires_grad_()
    part = slice(rank * size, (rank + 1) * size)
    value = kind(0.1)(x[part] @ weight, y[part] @ weight)
    value.backward()
    return value.item(), weight.grad


@pytest.mark.parametrize('kind', [NTXentLoss, InfoNCELoss])
def test_two_processes_equal_one(kind):
    x, y, weight = torch.randn(6, 8), torch.randn(6, 8), torch.randn(8, 4)
    one = weight.clone().requires_grad_()
    value = kind(0.1)(x @ one, y @ one)
    value.backward()
    results = run_distributed(_rank_loss, 2, (kind, x, y, weight))
    # DistributedDataParallel averages gradients over the processes, the logger averages losses
    np.testing.assert_allclose(np.mean([r[0] for r in results]), value.item(), rtol=1e-5)
    torch.testing.assert_close((results[0][1] + results[1][1]) / 2, one.grad, rtol=1e-4, atol=1e-6)
