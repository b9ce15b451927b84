import numpy as np
import pytest
import torch

from mm3dpretrain import ops
from mm3dpretrain.models.encoders import PointPatchEmbed, check_points, group_points


@pytest.mark.parametrize('name', ['cls_small', 'cls_full'])
def test_groups_are_those_of_the_reference(golden, name):
    expected = golden(f'point_bert/{name}.npz')
    points = torch.from_numpy(expected['points'])
    _, groups, size = expected['group/knn_idx_sorted'].shape
    patches = group_points(points, groups, size)
    np.testing.assert_array_equal(
        ops.furthest_point_sample(points, groups), expected['group/fps_idx']
    )
    np.testing.assert_array_equal(patches.center, expected['group/center'])
    np.testing.assert_array_equal(patches.idx.sort(-1).values, expected['group/knn_idx_sorted'])


def test_neighborhood_is_relative_to_the_centre(golden):
    expected = golden('point_mae/pretrain_small.npz')
    points = torch.from_numpy(expected['points'])
    patches = group_points(points, 24, 16)
    # the order inside a patch is ours, so compare as sets: sorted by x
    order = patches.neighborhood[..., 0].argsort(-1)[..., None].expand(-1, -1, -1, 3)
    reference = torch.from_numpy(expected['group/neighborhood'])
    reference_order = reference[..., 0].argsort(-1)[..., None].expand(-1, -1, -1, 3)
    torch.testing.assert_close(
        patches.neighborhood.gather(2, order), reference.gather(2, reference_order)
    )


def test_other_channels_are_appended_unchanged():
    points = torch.rand(2, 64, 6)
    patches = group_points(points, 8, 4)
    picked = ops.group_points(points, patches.idx)
    torch.testing.assert_close(patches.neighborhood[..., 3:], picked[..., 3:], rtol=0, atol=0)
    torch.testing.assert_close(
        patches.neighborhood[..., :3] + patches.center[:, :, None], picked[..., :3]
    )


def test_gradients_reach_the_points():
    points = torch.rand(1, 64, 3, requires_grad=True)
    patches = group_points(points, 8, 4)
    patches.neighborhood.square().sum().backward()
    assert torch.isfinite(points.grad).all() and points.grad.abs().sum() > 0


@pytest.mark.parametrize('hidden_dims', [(128, 256, 512), (8, 20, 12)])
@pytest.mark.parametrize('training', [True, False])
def test_pointnet_equals_the_concatenation_it_stands_for(training, hidden_dims):
    embed = PointPatchEmbed(8, 16, encoder_dim=24, hidden_dims=hidden_dims).train(training)
    twin = PointPatchEmbed(8, 16, encoder_dim=24, hidden_dims=hidden_dims).train(training)
    twin.load_state_dict(embed.state_dict())
    x = torch.randn(2, 8, 16, 3)
    local = twin.first(x.view(-1, 3)).view(16, 16, -1)
    pooled = local.max(1, keepdim=True).values.expand(-1, 16, -1)
    expected = twin.second(torch.cat([pooled, local], -1).flatten(0, 1))
    expected = expected.view(2, 8, 16, 24).max(2).values
    torch.testing.assert_close(embed.encode(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(embed.second[1].running_var, twin.second[1].running_var)


def test_encoder_is_copied_without_the_reduction():
    source, target = PointPatchEmbed(encoder_dim=32), PointPatchEmbed(encoder_dim=32, embed_dim=48)
    reduce = target.reduce.weight.clone()
    target.copy_encoder_from(source)
    x = torch.randn(1, 4, 8, 3)
    torch.testing.assert_close(target.eval().encode(x), source.eval().encode(x), rtol=0, atol=0)
    torch.testing.assert_close(target.reduce.weight, reduce, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match='size mismatch'):
        target.copy_encoder_from(PointPatchEmbed(encoder_dim=16))


def test_bad_clouds_are_named():
    with pytest.raises(ValueError, match=r'\(B, N, 3\), got \(2, 64, 6\)'):
        check_points(torch.rand(2, 64, 6), 3, 32)
    with pytest.raises(ValueError, match='clouds of 16 points .* at least 32'):
        check_points(torch.rand(2, 16, 3), 3, 32)
    points = torch.rand(2, 64, 3)
    points[1, 5] = float('nan')
    points[1, 7, 0] = float('inf')
    with pytest.raises(ValueError, match=r'\[0, 2\] points with NaN'):
        check_points(points, 3, 32)
    with pytest.raises(ValueError, match='in_channels must be at least 3'):
        PointPatchEmbed(in_channels=2)
