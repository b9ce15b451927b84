from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from mm3dpretrain.models.encoders import PPAT, PointTransformer
from mm3dpretrain.models.utils import checkpoint_activations

SIZES = dict(embed_dim=48, depth=8, num_heads=4)
ENCODERS = {
    'PPAT': partial(
        PPAT, mlp_dim=96, patch_dim=16, num_groups=16, group_size=4, radius=0.4,
        drop_path_rate=0.2, **SIZES,
    ),
    'PointTransformer': partial(
        PointTransformer, num_groups=16, group_size=2, in_channels=6, encoder_dim=16,
        drop_path_rate=0.2, **SIZES,
    ),
}  # fmt: skip
BLOCKS = dict(PPAT='blocks', PointTransformer='blocks.layers')


def step(encoder: nn.Module, points: torch.Tensor, dtype=None):
    """Value, gradients, and bytes that the forward pass keeps for the backward pass."""
    kept, own = {}, {p.untyped_storage().data_ptr() for p in encoder.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(1)  # drop path
    autocast = torch.autocast('cpu', dtype=torch.bfloat16, enabled=dtype is not None)
    with autocast, saved_tensors_hooks(pack, lambda tensor: tensor):
        value = encoder(points)['global'].float().square().mean()
    value.backward()
    return value, {name: p.grad for name, p in encoder.named_parameters()}, sum(kept.values())


@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
@pytest.mark.parametrize('name', ENCODERS)
def test_same_step_with_less_memory(name, dtype):
    torch.manual_seed(0)
    plain = ENCODERS[name]().train()
    again = copy.deepcopy(plain)
    assert checkpoint_activations(again, [BLOCKS[name]]) == 8
    points = torch.rand(4, 64, 6)
    value, grads, kept = step(plain, points, dtype)
    value_again, grads_again, kept_again = step(again, points, dtype)
    assert torch.equal(value, value_again)
    for key, grad in grads.items():
        assert (grad is None) == (grads_again[key] is None), key
        if grad is not None:
            assert torch.equal(grad, grads_again[key]), key
    assert kept_again < 0.5 * kept


def test_inputs_without_gradient():
    """PyTorch's older way would lose the gradients of a module that reads the points."""
    net = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1))
    model = nn.ModuleDict(dict(net=net))
    assert checkpoint_activations(model, ['net.0', 'net.2']) == 2
    net(torch.rand(5, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_looks_into_wrappers():
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

    model = Wrapper(nn.ModuleDict(dict(blocks=nn.ModuleList([Wrapper(nn.Linear(2, 2))]))))
    assert checkpoint_activations(model, ['blocks']) == 1
    assert 'forward' in vars(model.module['blocks'][0].module)


def test_refused():
    model = nn.ModuleDict(dict(net=nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))))
    with pytest.raises(ValueError, match="'nett'"):
        checkpoint_activations(model, ['nett'])
    with pytest.raises(ValueError, match='batch normalisation'):
        checkpoint_activations(model, ['net'])
