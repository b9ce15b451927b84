from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_weights import assert_close, converter, golden_state_dict, load, part

from mm3dpretrain import ops
from mm3dpretrain.models.encoders import PPAT
from mm3dpretrain.models.encoders.ppat import SCALINGS

TINY = dict(
    embed_dim=24, depth=2, num_heads=3, mlp_dim=48, patch_dim=16, num_groups=12, group_size=8
)


def cloud(batch=2, num=96, channels=6):
    return torch.rand(batch, num, channels) * 2 - 1


@pytest.mark.parametrize('name', ['ppat_small', 'ppat_small_relpe', 'ppat_scaling4_full'])
def test_equals_openshape(golden, golden_json, name):
    ref = golden(f'openshape/{name}.npz')
    config = golden_json(f'openshape/{name}_config.json')
    args, stride = config['args'], config['stride']
    sizes = {}
    if 'scaling' not in args:
        sizes = dict(
            embed_dim=args['dim'],
            depth=args['depth'],
            num_heads=args['heads'],
            mlp_dim=args['mlp_dim'],
            patch_dim=args['sa_dim'],
            num_groups=args['patches'],
            radius=args['prad'],
            group_size=args['nsamp'],
        )
    encoder = PPAT(args.get('scaling', 4), relative_bias=args.get('rel_pe', False), **sizes)
    state = converter('openshape_to_mm3d').convert(golden_state_dict(config)).state_dict
    load(encoder, part(state, 'point_encoder.'))
    points = torch.from_numpy(np.concatenate([ref['xyz'], ref['features_rgb']], axis=2))
    xyz = points[..., :3].contiguous()

    chosen = ops.furthest_point_sample(xyz, encoder.num_groups)
    assert torch.equal(chosen, torch.from_numpy(ref['fps_idx']).long())
    with torch.no_grad():
        center, features = encoder.group(points)
        out = encoder(points)
    np.testing.assert_allclose(center, ref['sa_centers'].transpose(0, 2, 1))
    stored = ref['sa_features'].transpose(0, 2, 1)
    every = features.shape[2] // stored.shape[2]  # of the full size only some channels are stored
    assert_close(features[..., ::every], stored, 2e-5)
    tokens = torch.cat([out['cls'][:, None], out['local']], dim=1)[:, ::stride]
    assert_close(tokens[:, : ref['tokens'].shape[1]], ref['tokens'], 2e-5)
    assert_close(out['cls'], ref['cls'], 2e-5)
    embed = out['global'] @ state['projection.weight'].T + state['projection.bias']
    assert_close(embed, ref['out'], 2e-5)


@pytest.mark.parametrize('scaling', [1, 2, 3, 4, 5])
def test_names_and_shapes_of_the_released_sizes(golden_json, scaling):
    keys = golden_json(f'openshape/keys_ppat_scaling{scaling}.json')
    with torch.device('meta'):
        encoder = PPAT(scaling)
        state = {key: torch.empty(shape) for key, shape in keys.items()}
    converted = converter('openshape_to_mm3d').convert(state).state_dict
    converted = part(converted, 'point_encoder.')
    ours = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    assert {key: tuple(value.shape) for key, value in converted.items()} == ours


def test_scalings_as_listed():
    listed = {1: (256, 6, 4), 2: (512, 6, 8), 3: (512, 12, 8), 4: (512, 12, 8), 5: (768, 12, 12)}
    listed[6] = (768, 24, 12)
    assert {key: sizes[:3] for key, sizes in SCALINGS.items()} == listed
    assert SCALINGS[4][5:] == (384, 0.2, 64) and SCALINGS[3][5] == 128 and SCALINGS[5][5] == 512


@pytest.mark.parametrize('relative_bias', [False, True])
def test_shapes_gradients_and_order(relative_bias):
    encoder = PPAT(relative_bias=relative_bias, radius=0.5, drop_path_rate=0.1, **TINY)
    points = cloud()
    out = encoder(points)
    assert out['global'].shape == (2, encoder.out_channels) == (2, 24)
    assert out['local'].shape == (2, 12, 24) and out['xyz'].shape == (2, 12, 3)
    out['global'].square().sum().backward()
    missing = [n for n, p in encoder.named_parameters() if p.grad is None]
    assert not missing
    encoder.eval()
    # all but the first point, where the sampling starts, and more than a ball's share in order
    encoder.group_size = 96
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(95)])
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(points[:, order])['global'], encoder(points)['global'], rtol=1e-4, atol=1e-5
        )


def test_layer_index():
    encoder = PPAT(relative_bias=True, **TINY)
    depths = {name: encoder.layer_index(name) for name, _ in encoder.named_parameters()}
    assert depths['cls_token'] == depths['patch_mlp.0.0.weight'] == depths['lift.0.weight'] == 0
    assert depths['blocks.0.norm1.weight'] == depths['biases.0.0.weight'] == 1
    assert max(depths.values()) == 2 < encoder.num_layers


def test_bad_input():
    with pytest.raises(ValueError, match='scaling'):
        PPAT(7)
    with pytest.raises(ValueError, match='width'):
        PPAT(width=3)
    with pytest.raises(ValueError, match=r'\(B, N, 6\)'):
        PPAT(**TINY)(cloud(channels=3))
    with pytest.raises(ValueError, match='at least 12'):
        PPAT(**TINY)(cloud(num=5))
