"""SigLoss against a naive twin, finite differences and its edge cases."""

from __future__ import annotations

import math

import pytest
import torch
from dist_utils import run_distributed

from mm3dpretrain.models.losses import SigLoss


def naive(prediction, target, mean_weight=0.15, max_depth=math.inf) -> float:
    errors = [
        math.log(p) - math.log(t)
        for p, t in zip(prediction.flatten().tolist(), target.flatten().tolist())
        if 0 < t <= max_depth
    ]
    mean = sum(errors) / len(errors)
    variance = sum((e - mean) ** 2 for e in errors) / (len(errors) - 1)
    return math.sqrt(variance + mean_weight * mean**2)


def sample(seed: int = 0):
    rng = torch.Generator().manual_seed(seed)
    prediction = 1 + 60 * torch.rand(2, 5, 7, generator=rng)
    target = 90 * torch.rand(2, 5, 7, generator=rng)
    target[torch.rand(2, 5, 7, generator=rng) < 0.5] = 0
    return prediction, target


@pytest.mark.parametrize('max_depth', [None, 40.0])
@pytest.mark.parametrize('mean_weight', [0.15, 1.0])
def test_equals_the_naive_twin(mean_weight, max_depth):
    prediction, target = sample()
    loss = SigLoss(mean_weight, max_depth)(prediction, target)
    assert loss.item() == pytest.approx(
        naive(prediction, target, mean_weight, max_depth or math.inf), rel=1e-5
    )


def test_gradient_equals_finite_differences():
    prediction, target = sample(1)
    prediction = prediction.requires_grad_()
    SigLoss()(prediction, target).backward()
    for place in [(0, 0, 1), (0, 3, 2), (1, 4, 6), (1, 0, 0), (0, 2, 5)]:
        step = 1e-4
        up, down = prediction.detach().double(), prediction.detach().double()
        up[place] += step
        down[place] -= step
        expected = (naive(up, target) - naive(down, target)) / (2 * step)
        assert prediction.grad[place].item() == pytest.approx(expected, rel=2e-3, abs=1e-7)
    assert not prediction.grad[target == 0].any()


def test_a_common_factor_costs_its_share_only():
    _, target = sample(2)
    target = target + 1
    loss = SigLoss()(3 * target, target)
    assert loss.item() == pytest.approx(math.sqrt(0.15) * math.log(3), rel=1e-4)


@pytest.mark.parametrize('known', [0, 1, 2])
def test_few_valid_pixels(known):
    prediction = torch.full((1, 3, 3), 7.0, requires_grad=True)
    target = torch.zeros(1, 3, 3)
    target.view(-1)[:known] = 5.0
    loss = SigLoss()(prediction, target)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(prediction.grad).all()
    expected = math.sqrt(0.15) * math.log(7 / 5) if known else 0.0
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert bool(prediction.grad.any()) == bool(known)


def test_a_perfect_prediction_has_a_finite_gradient():
    target = torch.rand(1, 4, 4) + 1
    prediction = target.clone().requires_grad_()
    loss = SigLoss()(prediction, target)
    loss.backward()
    assert loss.item() < 1e-5 and torch.isfinite(prediction.grad).all()


def test_half_precision_counts_in_single():
    prediction, target = sample(3)
    loss = SigLoss()(prediction.bfloat16(), target)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive(prediction.bfloat16().float(), target), rel=1e-4)


@pytest.mark.parametrize('options', [dict(mean_weight=0), dict(max_depth=-1.0)])
def test_impossible_options(options):
    with pytest.raises(ValueError, match='positive'):
        SigLoss(**options)


def test_other_shapes():
    with pytest.raises(ValueError, match='differ'):
        SigLoss()(torch.ones(1, 2, 2), torch.ones(1, 2, 3))


def _shares(rank: int, world_size: int) -> tuple[float, torch.Tensor]:
    """Loss and gradient (averaged over the processes) of a factor on this process's half."""
    prediction, target = sample(4)
    factor = torch.ones(3, requires_grad=True)
    half = slice(rank, rank + 1)
    powers = prediction[half, None] ** factor.view(1, 3, 1, 1)
    loss = SigLoss()(powers.mean(1), target[half])
    loss.backward()
    torch.distributed.all_reduce(factor.grad)
    return loss.item(), factor.grad / world_size


def test_two_processes_equal_one_with_the_whole_batch():
    prediction, target = sample(4)
    factor = torch.ones(3, requires_grad=True)
    loss = SigLoss()((prediction[:, None] ** factor.view(1, 3, 1, 1)).mean(1), target)
    loss.backward()
    for value, grad in run_distributed(_shares):
        assert value == pytest.approx(loss.item(), rel=1e-5)
        torch.testing.assert_close(grad, factor.grad, rtol=1e-4, atol=1e-6)


def test_on_its_own_every_process_has_its_statistics():
    values = run_distributed(_alone)
    prediction, target = sample(4)
    for rank, value in enumerate(values):
        assert value == pytest.approx(naive(prediction[rank], target[rank]), rel=1e-5)


def _alone(rank: int, world_size: int) -> float:
    prediction, target = sample(4)
    return SigLoss(gather_distributed=False)(prediction[rank], target[rank]).item()
