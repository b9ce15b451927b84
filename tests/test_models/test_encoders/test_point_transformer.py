from pathlib import Path

import pytest
import torch
from golden_weights import assert_close, converter, golden_state_dict, load, part
from mmengine.config import Config
from torch.nn import functional as F

from mm3dpretrain.models.encoders import Patches, PointTransformer
from mm3dpretrain.models.utils import block_mask, random_mask
from mm3dpretrain.registry import MODELS


def encoder_from(config: dict, **kwargs) -> PointTransformer:
    """Our encoder with the sizes of a reference config."""
    return PointTransformer(
        num_groups=config['num_group'],
        group_size=config['group_size'],
        encoder_dim=config['encoder_dims'],
        embed_dim=config['trans_dim'],
        depth=config['depth'],
        num_heads=config['num_heads'],
        **kwargs,
    )


def tiny(**kwargs) -> PointTransformer:
    sizes = dict(num_groups=12, group_size=8, encoder_dim=32, embed_dim=24, depth=3, num_heads=3)
    encoder = PointTransformer(**{**sizes, **kwargs})
    encoder.init_weights()
    # at the initial scale the blocks are close to the identity: make every part count
    for parameter in encoder.blocks.parameters():
        parameter.data.mul_(5)
    return encoder.eval()


def cloud(batch: int = 2, num_points: int = 96, channels: int = 3) -> torch.Tensor:
    return torch.rand(batch, num_points, channels) * 2 - 1


@pytest.mark.parametrize('name', ['cls_small', 'cls_full'])
def test_equals_point_bert(golden, golden_json, name):
    expected = golden(f'point_bert/{name}.npz')
    config = golden_json(f'point_bert/{name}_config.json')
    state = golden_state_dict(config)
    _, conversion = converter('pointbert_to_mm3d').convert(state)
    encoder = load(encoder_from(config['config']), part(conversion.state_dict, 'point_encoder.'))

    seen = {}
    encoder.pos_embed.register_forward_hook(lambda *args: seen.update(pos_embed=args[-1]))
    for index, layer in enumerate(encoder.blocks.layers):
        layer.register_forward_hook(
            lambda *args, name=f'block{index}': seen.update({name: args[-1]})
        )
    patches = encoder.group(torch.from_numpy(expected['points']))
    seen['patch_embed'] = encoder.patch_embed.encode(patches.neighborhood)
    seen['reduce_dim'] = encoder.patch_embed(patches)
    out = encoder.forward_patches(patches)
    seen['norm'] = torch.cat([out['cls'][:, None], out['local']], dim=1)
    stored = [key.removeprefix('out/') for key in expected if key.startswith('out/')]
    assert stored
    for key in stored:
        assert_close(seen[key], expected['out/' + key])
    assert_close(out['global'], expected['feature'])

    hidden = F.linear(
        out['global'], state['cls_head_finetune.0.weight'], state['cls_head_finetune.0.bias']
    )
    logits = F.linear(
        hidden.relu(), state['cls_head_finetune.3.weight'], state['cls_head_finetune.3.bias']
    )
    assert_close(logits, expected['logits'])
    gradients = [key for key in expected if key.startswith('grad/')]
    if not gradients:
        return
    weights = torch.arange(logits.numel(), dtype=torch.float32).view_as(logits) / logits.numel()
    (logits * weights).sum().backward()
    for key in gradients:
        parameter = encoder.get_parameter(
            conversion.mapped[key.removeprefix('grad/')].removeprefix('point_encoder.')
        )
        assert_close(parameter.grad.view(expected[key].shape), expected[key])


@pytest.mark.parametrize('name', ['mask_transformer_small', 'mask_transformer_full'])
def test_masked_encoding_equals_point_bert(golden, golden_json, name):
    expected = golden(f'point_bert/{name}.npz')
    config = golden_json(f'point_bert/{name}_config.json')
    sizes = {**config['dvae_config'], **config['transformer_config']}
    released = {f'transformer_q.{key}': w for key, w in golden_state_dict(config).items()}
    state = converter('pointbert_to_mm3d').convert(released)[1].state_dict
    encoder = load(encoder_from(sizes), part(state, 'point_encoder.'))
    head = load(
        MODELS.build(
            dict(
                type='MaskedTokenHead',
                in_channels=sizes['trans_dim'],
                num_tokens=sizes['num_tokens'],
            )
        ),
        part(state, 'token_head.'),
    )
    moco = load(
        MODELS.build(
            dict(
                type='ProjectionHead',
                in_channels=sizes['trans_dim'],
                hidden_channels=sizes['cls_dim'],
                out_channels=sizes['cls_dim'],
                norm=False,
                activation='gelu',
            )
        ),
        part(state, 'moco_head.'),
    )
    patches = encoder.group(torch.from_numpy(expected['points']))
    mask = torch.from_numpy(expected['mask'])
    with torch.no_grad():
        plain = encoder.forward_patches(patches)
        masked = encoder.forward_patches(patches, mask, head.mask_token)
        logits = head(masked['local'])[..., :: config['logits_stride']]
    assert_close(moco(plain['cls']), expected['cls_head_noaug'])
    assert_close(moco(masked['cls']), expected['cls_head_masked'])
    assert_close(logits, expected['lm_logits'])
    assert_close(logits[mask], expected['lm_logits_masked_rows'])


@pytest.mark.parametrize('name', ['cls_small', 'cls_full'])
def test_equals_point_mae(golden, golden_json, name):
    expected = golden(f'point_mae/{name}.npz')
    config = golden_json(f'point_mae/{name}_config.json')
    state = converter('point_mae_to_mm3d').convert(golden_state_dict(config))[1].state_dict
    encoder = encoder_from(config['config'], reduce_dim=False)
    load(encoder, part(state, 'point_encoder.'))
    with torch.no_grad():
        out = encoder(torch.from_numpy(expected['points']))
    tokens = torch.cat([out['cls'][:, None], out['local']], dim=1)
    assert_close(tokens[:, :: config['token_stride']], expected['norm'])
    assert_close(out['global'], expected['feature'])


@pytest.mark.parametrize('name', ['pointbert_small', 'pointbert_colored_small'])
def test_equals_ulip(golden, golden_json, name):
    """ULIP trains the same encoder, also on coloured points."""
    expected = golden(f'ulip/{name}.npz')
    config = golden_json(f'ulip/{name}_config.json')
    state = converter('pointbert_to_mm3d').convert(golden_state_dict(config))[1].state_dict
    points = torch.from_numpy(expected['points'])
    encoder = encoder_from(config['config'], in_channels=points.shape[-1])
    load(encoder, part(state, 'point_encoder.'))
    with torch.no_grad():
        out = encoder(points)
    assert_close(out['global'], expected['feature'])


def test_output_shapes():
    encoder = tiny()
    out = encoder(cloud())
    assert out['global'].shape == (2, encoder.out_channels) == (2, 48)
    assert out['local'].shape == (2, 12, 24)
    assert out['xyz'].shape == (2, 12, 3)
    torch.testing.assert_close(
        out['global'], torch.cat([out['cls'], out['local'].max(1).values], dim=1)
    )


def test_order_of_points_does_not_matter():
    """Up to the first point, from which the centres are sampled."""
    encoder, points = tiny(), cloud()
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(95)])
    torch.testing.assert_close(
        encoder(points)['global'], encoder(points[:, order])['global'], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize('drop_masked', [False, True])
def test_masked_content_does_not_influence_the_output(drop_masked):
    encoder, patches = tiny(), None
    patches = encoder.group(cloud())
    mask = random_mask(2, 12, 0.5)
    changed = patches.neighborhood + mask[:, :, None, None] * torch.randn(2, 12, 8, 3)
    arguments = dict(drop_masked=True) if drop_masked else dict(mask_token=torch.randn(1, 1, 24))
    first = encoder.forward_patches(patches, mask, **arguments)
    second = encoder.forward_patches(patches._replace(neighborhood=changed), mask, **arguments)
    for key in ('global', 'local'):
        torch.testing.assert_close(first[key], second[key], rtol=0, atol=0)
    # and it does where it is not masked
    third = encoder.forward_patches(patches._replace(neighborhood=changed))
    plain = encoder.forward_patches(patches)
    assert (third['local'] - plain['local']).abs().max() > 1e-3


def test_masked_patches_keep_their_positions():
    encoder = tiny()
    patches, token = encoder.group(cloud()), torch.randn(1, 1, 24)
    mask = torch.ones(2, 12, dtype=torch.bool)
    first = encoder.forward_patches(patches, mask, token)
    moved = encoder.forward_patches(patches._replace(center=patches.center * 0.5), mask, token)
    assert (first['local'] - moved['local']).abs().max() > 1e-3


def test_dropping_equals_encoding_the_visible_patches():
    encoder = tiny(with_cls_token=False)
    patches = encoder.group(cloud())
    mask = random_mask(2, 12, 0.5)
    out = encoder.forward_patches(patches, mask, drop_masked=True)
    visible = Patches(*(x[~mask].view(2, 6, *x.shape[2:]) for x in patches))
    expected = encoder.forward_patches(visible)
    torch.testing.assert_close(out['local'], expected['local'])
    torch.testing.assert_close(out['xyz'], visible.center)
    # without a class token the mean stands in its place
    assert 'cls' not in out
    torch.testing.assert_close(out['global'][:, :24], out['local'].mean(1))


def test_features_of_blocks():
    encoder = tiny(out_indices=(0, 2))
    out = encoder(cloud())
    assert [x.shape for x in out['blocks']] == [(2, 12, 24)] * 2
    torch.testing.assert_close(out['blocks'][1], out['local'])
    assert (out['blocks'][0] - out['local']).abs().max() > 1e-3


def test_every_weight_gets_a_finite_gradient():
    encoder = tiny(drop_path_rate=0.0).train()
    out = encoder(cloud())
    (out['global'] * torch.randn_like(out['global'])).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_initial_weights():
    encoder = MODELS.build(dict(type='PointTransformer', depth=1, num_groups=8))
    encoder.init_weights()
    for weight in (encoder.blocks.layers[0].mlp.fc1.weight, encoder.cls_token):
        assert 0.01 < weight.std() < 0.03
    assert not encoder.blocks.layers[0].mlp.fc1.bias.any()


def test_loads_from_a_pretraining_checkpoint(tmp_path):
    source = tiny()
    path = tmp_path / 'pretrained.pth'
    state = {f'point_encoder.{key}': value for key, value in source.state_dict().items()}
    torch.save(dict(state_dict={**state, 'token_head.classifier.bias': torch.zeros(3)}), path)

    def build(**init_cfg):
        return tiny_cfg(init_cfg=dict(type='Pretrained', checkpoint=str(path), **init_cfg))

    def tiny_cfg(**kwargs):
        sizes = dict(num_groups=12, group_size=8, encoder_dim=32, embed_dim=24, depth=3)
        return MODELS.build(dict(type='PointTransformer', num_heads=3, **sizes, **kwargs))

    target = build(prefix='point_encoder.')
    target.init_weights()
    points = cloud()
    torch.testing.assert_close(
        source(points)['global'], target.eval()(points)['global'], rtol=0, atol=0
    )
    # forgetting the prefix matches nothing: an error, not a silently random encoder
    with pytest.raises(RuntimeError, match='no weight of .* fits this encoder'):
        build().init_weights()


@pytest.mark.parametrize('name', ['pointbert', 'pointmae', 'tiny'])
def test_base_configs(name):
    file = Path(__file__).parents[3] / f'configs/_base_/models/point_transformer_{name}.py'
    config = Config.fromfile(file).model.point_encoder
    encoder = MODELS.build(config).eval()
    with torch.no_grad():
        out = encoder(cloud(1, 128))
    assert out['local'].shape == (1, config.num_groups, config.embed_dim)


@pytest.mark.gpu
def test_cuda_equals_cpu():
    encoder, points = tiny(), cloud()
    expected = encoder(points)
    actual = encoder.cuda()(points.cuda())
    for key in ('global', 'local', 'xyz'):
        torch.testing.assert_close(actual[key].cpu(), expected[key], rtol=1e-4, atol=1e-4)
    patches = encoder.group(points.cuda())
    mask = block_mask(patches.center)
    assert mask.is_cuda
    masked = encoder.forward_patches(patches, mask, torch.zeros(1, 1, 24, device='cuda'))
    assert torch.isfinite(masked['global']).all()


def test_half_precision():
    encoder, points = tiny(), cloud()
    with torch.no_grad():
        expected = encoder(points)['global']
        with torch.autocast('cpu', torch.bfloat16):
            patches = encoder.group(points)
            actual = encoder.forward_patches(patches)['global']
    # the coordinates stay exact, the features are within bfloat16's 8 bits or so
    assert patches.center.dtype == torch.float32
    assert F.cosine_similarity(actual.float(), expected).min() > 0.99


def test_stochastic_depth_acts_in_training_only():
    encoder, points = tiny(drop_path_rate=0.9), cloud()
    torch.testing.assert_close(encoder(points)['cls'], encoder(points)['cls'], rtol=0, atol=0)
    encoder.blocks.train()
    assert (encoder(points)['cls'] - encoder(points)['cls']).abs().max() > 1e-3


def test_errors_name_the_values():
    with pytest.raises(ValueError, match='encoder_dim=256 and embed_dim=384'):
        PointTransformer(reduce_dim=False)
    with pytest.raises(ValueError, match=r'out_indices must be in \[0, 3\), got \(3,\)'):
        tiny(out_indices=(3,))
    with pytest.raises(ValueError, match='divisible by num_heads, got 384 and 5'):
        PointTransformer(num_heads=5)
    encoder = tiny()
    with pytest.raises(ValueError, match='at least 12'):
        encoder(cloud(num_points=10))
    with pytest.raises(ValueError, match=r'\(B, N, 3\)'):
        encoder(cloud(channels=6))
    patches = encoder.group(cloud())
    mask, token = block_mask(patches.center, 0.5), torch.zeros(1, 1, 24)
    for arguments in (dict(), dict(mask_token=token, drop_masked=True)):
        with pytest.raises(ValueError, match='either a mask_token or drop_masked'):
            encoder.forward_patches(patches, mask, **arguments)
    with pytest.raises(ValueError, match='mask must be bool'):
        encoder.forward_patches(patches, mask[:, :5], token)
    mask = torch.zeros(2, 12, dtype=torch.bool)
    mask[0, 0] = True
    with pytest.raises(ValueError, match=r'same number of patches, got \[11, 12\]'):
        encoder.forward_patches(patches, mask, drop_masked=True)
