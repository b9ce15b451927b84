"""The point transformer with features of all points."""

import pytest
import torch

from mm3dpretrain.registry import MODELS

SIZES = dict(num_groups=8, group_size=8, encoder_dim=16, embed_dim=24, depth=2, num_heads=2)


@pytest.mark.parametrize('blocks, channels', [((), 3), ((0, 1), 6)])
def test_outputs(blocks, channels):
    torch.manual_seed(0)
    cfg = dict(SIZES, in_channels=channels, out_indices=blocks)
    encoder = MODELS.build(dict(type='DensePointTransformer', propagation_channels=(20, 10), **cfg))
    encoder.init_weights()
    points = torch.rand(2, 128, channels)
    out = encoder(points)
    assert out['local'].shape == (2, 128, 10) and encoder.embed_dim == 10
    assert out['global'].shape == (2, encoder.out_channels) == (2, 48)
    assert out['xyz'].equal(points[..., :3])
    assert encoder.level_channels == ((24, 24, 10) if blocks else ())
    shapes = [(x.shape[1], f.shape[-1]) for x, f in out.get('levels', [])]
    assert shapes == ([(8, 24), (8, 24), (128, 10)] if blocks else [])
    out['local'].square().sum().backward()
    grads = {name: p.grad for name, p in encoder.named_parameters()}
    assert all(g is not None for name, g in grads.items() if not name.startswith('cls'))


def test_its_weights_are_those_of_the_transformer():
    torch.manual_seed(0)
    dense = MODELS.build(dict(type='DensePointTransformer', propagation_channels=(8,), **SIZES))
    plain = MODELS.build(dict(type='PointTransformer', **SIZES))
    weights = {
        key: value
        for key, value in dense.state_dict().items()
        if not key.startswith(dense.decoder_parts)
    }
    plain.load_state_dict(weights)
    points = torch.rand(2, 128, 3)
    dense.eval(), plain.eval()
    assert plain(points)['global'].equal(dense(points)['global'])
