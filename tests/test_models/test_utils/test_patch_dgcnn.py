import pytest
import torch
from torch.nn import functional as F

from mm3dpretrain.models.utils import EdgeConv, PatchDGCNN


def test_edge_convolution_equals_its_formula():
    conv = EdgeConv(6, 8)
    x, idx = torch.randn(2, 5, 6), torch.randint(5, (2, 5, 3))
    neighbor = torch.stack([cloud[i] for cloud, i in zip(x, idx)])
    edges = torch.cat([neighbor - x[:, :, None], x[:, :, None].expand_as(neighbor)], dim=-1)
    values = conv.linear(edges).permute(0, 3, 1, 2)
    expected = F.leaky_relu(conv.norm(values), 0.2).max(-1).values.transpose(1, 2)
    torch.testing.assert_close(conv(x, idx), expected, rtol=1e-4, atol=1e-5)


def test_only_near_patches_are_joined():
    """Four layers of 1-neighbour graphs are pointwise but for the statistics of the group norm."""
    net = PatchDGCNN(6, 8, num_neighbors=2)
    seen = []
    net.layers[0].register_forward_hook(lambda module, args, out: seen.append(args[1]))
    center = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [10, 0, 0], [11.5, 0, 0]]])
    assert net(torch.randn(1, 4, 6), center).shape == (1, 4, 8)
    assert seen[0].sort(-1).values.tolist() == [[[0, 1], [0, 1], [2, 3], [2, 3]]]


def test_order_of_patches_does_not_matter():
    net = PatchDGCNN(6, 8)
    x, center, order = torch.randn(1, 9, 6), torch.randn(1, 9, 3), torch.randperm(9)
    torch.testing.assert_close(
        net(x, center)[:, order], net(x[:, order], center[:, order]), rtol=1e-4, atol=1e-4
    )


def test_widths():
    net = PatchDGCNN(6, 8, widths=(4, 12, 16))
    assert [layer.linear.out_features for layer in net.layers] == [12, 16]
    assert net(torch.randn(1, 9, 6), torch.randn(1, 9, 3)).shape == (1, 9, 8)


def test_channels_must_fit_the_norm():
    with pytest.raises(ValueError, match='divisible by 4, got 10'):
        PatchDGCNN(6, 10)
    with pytest.raises(ValueError, match=r'got 8 and \(4, 6\)'):
        PatchDGCNN(6, 8, widths=(4, 6))
