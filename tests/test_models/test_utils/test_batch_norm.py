"""Batch norm with statistics that stay."""

import pytest
import torch
from torch import nn

from mm3dpretrain.models.utils.batch_norm import keep_statistics


@pytest.mark.parametrize('momentum', [0.1, None])
def test_outputs_are_those_of_training_and_statistics_stay(momentum):
    norm, plain = nn.BatchNorm1d(3, momentum=momentum), nn.BatchNorm1d(3, momentum=momentum)
    for module in (norm, plain):
        module(torch.arange(12.0).view(4, 3))
    before = norm.running_mean.clone(), norm.running_var.clone()
    x = 5 + torch.randn(16, 3)
    with keep_statistics(nn.Sequential(norm)):
        out = norm(x)
    assert out.equal(plain(x))
    assert norm.running_mean.equal(before[0]) and norm.running_var.equal(before[1])
    assert norm.momentum == momentum and not plain.running_mean.equal(before[0])


def test_an_error_inside_restores_the_momentum():
    norm = nn.BatchNorm2d(2)
    with pytest.raises(RuntimeError), keep_statistics(norm):
        raise RuntimeError
    assert norm.momentum == 0.1
