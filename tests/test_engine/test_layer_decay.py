from __future__ import annotations

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mm3dpretrain.models.encoders import PPAT

init_default_scope('mm3dpretrain')
TINY = dict(embed_dim=24, depth=2, num_heads=3, mlp_dim=48, patch_dim=16, num_groups=12)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.point_encoder = PPAT(**TINY)
        self.projection = nn.Linear(24, 8)
        self.point_encoder.lift[0].bias.requires_grad_(False)


def wrapper(model, **paramwise):
    return build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.1),
            paramwise_cfg=paramwise,
        ),
    )


def groups(optim, model):
    names = {id(p): name for name, p in model.named_parameters()}
    # MMEngine keeps the base rate in a group with a parameter of its own
    pairs = [(names.get(id(p)), g) for g in optim.param_groups for p in g['params']]
    return {name: group for name, group in pairs if name is not None}


@pytest.mark.parametrize('extra', [{}, dict(norm_decay_mult=0.0, bias_lr_mult=2.0)])
def test_every_layer_has_its_rate(extra):
    model = Model()
    optim = wrapper(model, layer_decay=dict(module='point_encoder', rate=0.5), **extra)
    found = groups(optim, model)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert trained <= set(found)
    # layers 0 (embedding), 1 and 2 (blocks), 3 (nothing in PPAT)
    assert found['point_encoder.lift.0.weight']['lr'] == pytest.approx(1e-2 / 8)
    assert found['point_encoder.cls_token']['lr'] == pytest.approx(1e-2 / 8)
    assert found['point_encoder.blocks.0.attn.qkv.weight']['lr'] == pytest.approx(1e-2 / 4)
    assert found['point_encoder.blocks.1.attn.qkv.weight']['lr'] == pytest.approx(1e-2 / 2)
    assert found['projection.weight']['lr'] == pytest.approx(1e-2)
    norm, bias = (found[f'point_encoder.blocks.1.{n}'] for n in ('norm1.weight', 'mlp.fc1.bias'))
    assert norm['weight_decay'] == (0 if extra else 0.1)
    assert bias['lr'] == pytest.approx(1e-2 / (1 if extra else 2))
    assert found['projection.weight']['weight_decay'] == 0.1


def test_a_rate_of_one_is_the_default():
    model = Model()
    optim = wrapper(model, layer_decay=dict(module='point_encoder', rate=1.0))
    assert {group['lr'] for group in optim.param_groups} == {1e-2}
    before = model.projection.weight.clone()
    optim.update_params(model.projection(torch.ones(2, 24)).sum())
    assert not torch.equal(before, model.projection.weight)


def test_bad_config():
    model = Model()
    for decay in (None, dict(module='point_encoder'), dict(module='point_encoder', rate=1.5)):
        with pytest.raises(ValueError, match='rate in'):
            wrapper(model, layer_decay=decay)
    with pytest.raises(ValueError, match="no module 'image_encoder'"):
        wrapper(model, layer_decay=dict(module='image_encoder', rate=0.9))
    with pytest.raises(ValueError, match='Linear, does not tell'):
        wrapper(model, layer_decay=dict(module='projection', rate=0.9))
