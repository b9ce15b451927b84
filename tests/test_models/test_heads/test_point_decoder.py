import pytest
import torch
from golden_weights import assert_close, converter, golden_state_dict, load, part

from mm3dpretrain import ops
from mm3dpretrain.models.encoders import PointTransformer
from mm3dpretrain.models.heads import PointDecoder
from mm3dpretrain.models.utils import random_mask, select_patches


@pytest.mark.parametrize('name', ['pretrain_small', 'pretrain_full'])
def test_equals_point_mae(golden, golden_json, name):
    expected = golden(f'point_mae/{name}.npz')
    config = golden_json(f'point_mae/{name}_config.json')
    sizes, stride = config['config']['transformer_config'], config['token_stride']
    groups, size = config['config']['num_group'], config['config']['group_size']
    conversion = converter('point_mae_to_mm3d').convert(golden_state_dict(config))[1]
    encoder = PointTransformer(
        num_groups=groups,
        group_size=size,
        encoder_dim=sizes['encoder_dims'],
        embed_dim=sizes['trans_dim'],
        depth=sizes['depth'],
        num_heads=sizes['num_heads'],
        reduce_dim=False,
        with_cls_token=False,
    )
    decoder = PointDecoder(
        embed_dim=sizes['trans_dim'],
        depth=sizes['decoder_depth'],
        num_heads=sizes['decoder_num_heads'],
        group_size=size,
        with_mask_token=True,
    )
    load(encoder, part(conversion.state_dict, 'point_encoder.'))
    load(decoder, part(conversion.state_dict, 'point_decoder.'))

    patches = encoder.group(torch.from_numpy(expected['points']))
    mask = torch.from_numpy(expected['mask'])
    with torch.no_grad():
        plain = encoder.forward_patches(patches)['local']
    visible = encoder.forward_patches(patches, mask, drop_masked=True)['local']
    seen = []
    decoder.norm.register_forward_hook(lambda *args: seen.append(args[-1]))
    points = decoder(visible, patches.center, mask)
    assert_close(plain[:, ::stride], expected['encoder_no_mask'])
    assert_close(visible[:, ::stride], expected['encoder_visible'])
    assert_close(seen[0][:, ::stride], expected['decoder_masked'])
    assert_close(points[:, ::stride], expected['rebuild'])
    target = select_patches(patches.neighborhood, mask).flatten(0, 1)
    loss = ops.chamfer_l2(points.flatten(0, 1), target)
    assert_close(loss, expected['loss_cdl2'])
    assert_close(ops.chamfer_l1(points.flatten(0, 1), target), expected['loss_cdl1'])
    gradients = [key for key in expected if key.startswith('grad/')]
    if not gradients:
        return
    loss.backward()
    modules = torch.nn.ModuleDict(dict(point_encoder=encoder, point_decoder=decoder))
    for key in gradients:
        parameter = modules.get_parameter(conversion.mapped[key.removeprefix('grad/')])
        # gradients run through the arg-min of the Chamfer distance: float32 noise is larger
        assert_close(parameter.grad.view(expected[key].shape), expected[key], rtol=2e-5)


def test_all_patches_become_a_cloud():
    decoder = PointDecoder(depth=1).eval()
    center = torch.randn(2, 64, 3)
    points = decoder(torch.randn(2, 64, 384), center)
    assert points.shape == (2, 64, 32, 3)
    assert decoder.to_cloud(points, center).shape == (2, 2048, 3)


def test_centres_are_added_once():
    decoder = PointDecoder(embed_dim=24, depth=1, num_heads=3, group_size=4).eval()
    decoder.to_points.weight.data.zero_()
    decoder.to_points.bias.data.zero_()
    center = torch.randn(2, 6, 3)
    points = decoder(torch.randn(2, 6, 24), center)
    assert not points.any()
    cloud = decoder.to_cloud(points, center).view(2, 6, 4, 3)
    torch.testing.assert_close(cloud, center[:, :, None].expand(-1, -1, 4, -1), rtol=0, atol=0)


def test_positions_matter_and_gradients_are_finite():
    decoder = PointDecoder(embed_dim=24, depth=2, num_heads=3, group_size=4, drop_path_rate=0.0)
    tokens, center = torch.randn(2, 6, 24), torch.randn(2, 6, 3)
    points = decoder(tokens, center)
    assert (points - decoder(tokens, -center)).abs().max() > 1e-4
    points.square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_hidden_patches_come_back_in_their_order():
    decoder = PointDecoder(
        embed_dim=24, depth=2, num_heads=3, group_size=4, with_mask_token=True
    ).eval()
    center, mask = torch.randn(1, 6, 3), random_mask(1, 6, 0.5)
    visible = torch.randn(1, 3, 24)
    points = decoder(visible, center, mask)
    assert points.shape == (1, 3, 4, 3)
    # swapping the centres of two hidden patches swaps their points
    first, second = mask[0].nonzero()[:2, 0]
    swapped = center.clone()
    swapped[0, first], swapped[0, second] = center[0, second], center[0, first]
    torch.testing.assert_close(
        decoder(visible, swapped, mask)[:, [1, 0, 2]], points, rtol=1e-4, atol=1e-5
    )


def test_errors_name_the_values():
    decoder = PointDecoder(embed_dim=24, depth=1, num_heads=3)
    mask = torch.zeros(2, 6, dtype=torch.bool)
    with pytest.raises(ValueError, match='got mask=given and with_mask_token=False'):
        decoder(torch.randn(2, 6, 24), torch.randn(2, 6, 3), mask)
    with pytest.raises(ValueError, match='5 tokens do not fit 6 patches'):
        decoder(torch.randn(2, 5, 24), torch.randn(2, 6, 3))
    with pytest.raises(ValueError, match='got mask=None and with_mask_token=True'):
        PointDecoder(embed_dim=24, depth=1, num_heads=3, with_mask_token=True)(
            torch.randn(2, 6, 24), torch.randn(2, 6, 3)
        )
