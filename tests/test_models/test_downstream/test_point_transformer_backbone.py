"""The point transformer with the outputs of mmdet3d's PointNet++."""

import pytest
import torch

from mm3dpretrain.models.downstream import PointTransformerBackbone
from mm3dpretrain.models.encoders import PointTransformer
from mm3dpretrain.models.utils.feature_propagation import (
    FeaturePropagation,
    interpolate_features,
)

TINY = dict(
    num_groups=16,
    group_size=8,
    encoder_dim=32,
    embed_dim=24,
    depth=2,
    num_heads=2,
    hidden_dims=(16, 16, 32),
    drop_path_rate=0.0,
)


def build(**kwargs):
    torch.manual_seed(0)
    backbone = PointTransformerBackbone(
        **{'num_seeds': 40, 'fp_channels': (32, 20), **TINY, **kwargs}
    )
    backbone.init_weights()
    return backbone


@pytest.fixture
def scene():
    generator = torch.Generator().manual_seed(1)
    return 4 * torch.rand(2, 300, 4, generator=generator)


def test_contract_of_votenet(scene):
    backbone = build()
    out = backbone(scene)
    assert out['fp_features'][-1].shape == (2, 20, 40)
    assert out['fp_xyz'][-1].shape == (2, 40, 3)
    assert out['sa_features'][-1].shape == (2, 24, 16) == (2, backbone.local_channels, 16)
    # the height is handed on, and the indices name the very points
    assert torch.equal(out['sa_features'][0], scene[..., 3:].transpose(1, 2))
    for key in ('fp', 'sa'):
        for xyz, idx in zip(out[f'{key}_xyz'], out[f'{key}_indices']):
            assert idx.dtype == torch.int64
            assert torch.equal(xyz, scene[..., :3].gather(1, idx[..., None].expand(-1, -1, 3)))


def test_features_are_those_of_the_pretraining(scene):
    backbone = build(input_scale=0.5).eval()
    encoder = PointTransformer(**TINY).eval()
    own = {k: v for k, v in backbone.state_dict().items() if not k.startswith('seed_propagation')}
    encoder.load_state_dict(own)
    xyz = scene[..., :3]
    expected = encoder((xyz - xyz.mean(1, keepdim=True)) * 0.5)
    out = backbone(scene)
    assert torch.equal(out['sa_features'][-1], expected['local'].transpose(1, 2))
    # the centres of the patches, in the scene's own frame
    center = (out['sa_xyz'][-1] - xyz.mean(1, keepdim=True)) * 0.5
    torch.testing.assert_close(center, expected['xyz'], atol=1e-6, rtol=0)


def test_a_raw_pretraining_checkpoint_goes_in(scene, tmp_path):
    torch.manual_seed(3)
    encoder = PointTransformer(**TINY)
    encoder.init_weights()
    state = {f'point_encoder.{k}': v for k, v in encoder.state_dict().items()}
    state['image_encoder.weight'] = torch.zeros(3)
    path = tmp_path / 'pretrain.pth'
    torch.save(dict(state_dict=state, meta={}), path)
    init = dict(type='Pretrained', checkpoint=str(path), prefix='point_encoder.')
    backbone = build(init_cfg=init)
    for key, value in encoder.state_dict().items():
        assert torch.equal(backbone.state_dict()[key], value), key


def test_a_shifted_scene_gives_the_same_features(scene):
    backbone = build().eval()
    moved = scene.clone()
    moved[..., :3] += torch.tensor([32.0, -16.0, 8.0])
    a, b = backbone(scene), backbone(moved)
    torch.testing.assert_close(a['fp_features'][-1], b['fp_features'][-1], atol=2e-4, rtol=1e-3)


def test_frozen(scene):
    backbone = build(frozen=True).train()
    assert not backbone.patch_embed.training and backbone.seed_propagation.training
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    out = backbone(scene)
    out['fp_features'][-1].square().sum().backward()
    learns = {k for k, p in backbone.named_parameters() if p.grad is not None}
    assert learns and all(k.startswith('seed_propagation') for k in learns)
    after = backbone.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert all(k.startswith('seed_propagation') for k in moved)  # no batch norm statistics


def test_everything_learns_by_default(scene):
    backbone = build()
    backbone(scene)['fp_features'][-1].square().sum().backward()
    without = [k for k, p in backbone.named_parameters() if p.grad is None]
    assert not without


def test_blocks_as_features(scene):
    backbone = build(out_indices=(0, 1), num_seeds=0)
    out = backbone(scene)
    assert out['sa_features'][-1].shape == (2, 48, 16)
    assert len(out['fp_xyz']) == 1


def test_bad_input(scene):
    with pytest.raises(ValueError, match='num_seeds'):
        build(num_seeds=-1)
    with pytest.raises(ValueError, match='in_channels=6'):
        build(in_channels=6)(scene)
    with pytest.raises(ValueError, match='finite'):
        build()(scene.clone().fill_(float('nan')))


def test_interpolation_equals_a_loop():
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 7, 3, generator=generator)
    source = torch.rand(2, 5, 3, generator=generator)
    target[0, 0] = source[0, 2]
    features = torch.rand(2, 5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    got = interpolate_features(target, source, features)
    for b in range(2):
        for i in range(7):
            dist = (source[b] - target[b, i]).norm(dim=-1)
            near = dist.argsort()[:3]
            weight = 1 / dist[near].square().clamp_min(1e-8).double()
            expected = (features[b, near] * (weight / weight.sum())[:, None]).sum(0)
            torch.testing.assert_close(got[b, i], expected, atol=1e-5, rtol=1e-5)
    # at a source point its own features
    torch.testing.assert_close(got[0, 0], features[0, 2], atol=1e-4, rtol=0)
    assert torch.autograd.gradcheck(lambda f: interpolate_features(target, source, f), features)


def test_one_source_point():
    features = torch.rand(1, 1, 4)
    got = interpolate_features(torch.rand(1, 5, 3), torch.rand(1, 1, 3), features)
    assert torch.equal(got, features.expand(1, 5, 4))


def test_propagation_appends_the_own_features():
    module = FeaturePropagation(4, 2, (8, 6)).eval()
    target, source, features = torch.rand(1, 9, 3), torch.rand(1, 5, 3), torch.rand(1, 5, 4)
    one = module(target, source, features, torch.zeros(1, 9, 2))
    other = module(target, source, features, torch.ones(1, 9, 2))
    assert one.shape == (1, 9, 6) == (1, 9, module.out_channels)
    assert not torch.equal(one, other)
