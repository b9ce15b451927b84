import pytest
import torch
from torch import nn

from mm3dpretrain.models.heads import ProjectionHead


def test_head_of_crosspoint():
    head = ProjectionHead(12, 8, 4, bias=False)
    twin = nn.Sequential(
        nn.Linear(12, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4, bias=False)
    )
    assert len(list(head.parameters())) == len(list(twin.parameters())) == 4
    for own, other in zip(head.parameters(), twin.parameters()):
        other.data.copy_(own.data)
    x = torch.randn(6, 12)
    torch.testing.assert_close(head(x), twin(x))


def test_unit_length():
    head = ProjectionHead(12, 8, 4, norm=False, activation='gelu', normalize=True)
    x = torch.randn(6, 12)
    torch.testing.assert_close(head(x).norm(dim=-1), torch.ones(6))
    head.normalize = False
    assert (head(x).norm(dim=-1) - 1).abs().max() > 1e-2


def test_unknown_activation():
    with pytest.raises(ValueError, match=r"\['relu', 'gelu'\], got 'tanh'"):
        ProjectionHead(12, 8, 4, activation='tanh')
