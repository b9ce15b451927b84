from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_weights import assert_close, converter, golden_state_dict, load, part

from mm3dpretrain.models.encoders import TimmBackbone, Uni3DViT

pytest.importorskip('timm')

LAYOUTS = {
    'tiny_layout_small': 'eva02_tiny_patch14_224',
    'base_layout_small': 'eva02_base_patch14_448',
    'giant_layout_small': 'eva_giant_patch14_560',
}
SIZES = dict(num_groups=24, group_size=16, encoder_dim=64)
SMALL_VIT = dict(
    model_name='vit_tiny_patch16_224',
    model_args=dict(img_size=32, embed_dim=48, depth=2, num_heads=3),
)


def small(**kwargs) -> Uni3DViT:
    return Uni3DViT(vit=SMALL_VIT, **{**SIZES, **kwargs})


def embedding(encoder: Uni3DViT, state: dict, ref: dict) -> dict[str, torch.Tensor]:
    """Everything that is stored, of our encoder with converted weights."""
    state = converter('uni3d_to_mm3d').convert(state).state_dict
    load(encoder, part(state, 'point_encoder.'))
    assert state['alignment.log_scale'].shape == ()
    seen = {}
    for name, index in (('block0', 0), ('block_last', -1)):
        encoder.blocks[index].register_forward_hook(
            lambda *args, name=name: seen.update({name: args[-1]})
        )
    points = torch.from_numpy(np.concatenate([ref['points'], ref['colors']], axis=2))
    with torch.no_grad():
        seen['patch_embed'] = encoder.patch_embed.encode(
            encoder.patch_embed.group(points).neighborhood
        )
        seen['pre_projection'] = encoder(points)['global']
    weight, bias = state['projection.weight'], state['projection.bias']
    seen['pc_embed'] = seen['pre_projection'] @ weight.T + bias
    return seen


@pytest.mark.parametrize('name', LAYOUTS)
def test_equals_uni3d_layouts(golden, golden_json, name):
    ref, config = golden(f'uni3d/{name}.npz'), golden_json(f'uni3d/{name}_config.json')
    args = dict(config['visual'])
    for key in ('num_classes', 'ref_feat_shape'):
        args.pop(key, None)
    encoder = Uni3DViT(
        vit=dict(model_name=LAYOUTS[name], model_args=args),
        num_groups=config['args']['num_group'],
        group_size=config['args']['group_size'],
        encoder_dim=config['args']['pc_encoder_dim'],
    )
    seen = embedding(encoder, golden_state_dict(config), ref)
    for key, value in seen.items():
        assert_close(value, ref[key])


def test_equals_uni3d_tiny(golden, golden_json):
    ref, config = golden('uni3d/tiny_full.npz'), golden_json('uni3d/tiny_full_config.json')
    stride = config['token_stride']
    encoder = Uni3DViT(vit=dict(model_name=config['visual']))
    seen = embedding(encoder, golden_state_dict(config), ref)
    for key, value in seen.items():
        if value.dim() == 3:
            value = value[:, ::stride]
        assert_close(value, ref[key])


@pytest.mark.parametrize(
    'size, model',
    [
        ('tiny', 'eva02_tiny_patch14_224'),
        ('small', 'eva02_small_patch14_224'),
        ('base', 'eva02_base_patch14_448'),
        ('large', 'eva02_large_patch14_448'),
        ('giant', 'eva_giant_patch14_560'),
    ],
)
def test_names_and_shapes_of_the_released_sizes(golden_json, size, model):
    keys = golden_json(f'uni3d/keys_Uni3D_{size}.json')
    with torch.device('meta'):
        encoder = Uni3DViT(vit=dict(model_name=model))
        state = {key: torch.empty(shape) for key, shape in keys.items()}
    converted = part(converter('uni3d_to_mm3d').convert(state).state_dict, 'point_encoder.')
    ours = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in converted.items()} == ours


def test_starts_from_a_file_of_2d_weights(tmp_path):
    donor = TimmBackbone(**SMALL_VIT).model
    torch.save(donor.state_dict(), tmp_path / 'vit.pth')
    encoder = Uni3DViT(vit=dict(SMALL_VIT, checkpoint=str(tmp_path / 'vit.pth')), **SIZES)
    encoder.init_weights()
    for key, value in donor.state_dict().items():
        if key.startswith(('blocks.', 'norm.')):
            assert torch.equal(encoder.state_dict()[key], value)
    torch.save({'other': torch.zeros(1)}, tmp_path / 'wrong.pth')
    with pytest.raises(RuntimeError, match='lacks'):
        Uni3DViT(vit=dict(SMALL_VIT, checkpoint=str(tmp_path / 'wrong.pth')), **SIZES)


def test_shapes_gradients_and_dropped_patches():
    encoder = small(patch_dropout=0.5)
    points = torch.rand(2, 64, 6) * 2 - 1
    out = encoder(points)
    assert out['local'].shape == (2, 12, 48) and out['xyz'].shape == (2, 12, 3)
    out['global'].sum().square().backward()
    assert not [n for n, p in encoder.named_parameters() if p.grad is None]
    encoder.eval()
    with torch.no_grad():
        out = encoder(points)
        assert out['local'].shape == (2, 24, 48) and out['global'].shape == (2, 48)
        assert torch.equal(out['global'], encoder(points)['global'])


def test_layer_index():
    encoder = small()
    depths = {name: encoder.layer_index(name) for name, _ in encoder.named_parameters()}
    assert depths['cls_token'] == depths['patch_embed.first.0.weight'] == 0
    assert depths['blocks.1.norm1.weight'] == 2 and depths['norm.weight'] == 3
    assert encoder.num_layers == 4


def test_bad_input():
    with pytest.raises(ValueError, match='no transformer'):
        Uni3DViT(vit=dict(model_name='resnet10t'))
    with pytest.raises(ValueError, match='patch_dropout'):
        small(patch_dropout=1.0)
    with pytest.raises(ValueError, match='timm has no model'):
        Uni3DViT(vit=dict(model_name='eva99_tiny'))
