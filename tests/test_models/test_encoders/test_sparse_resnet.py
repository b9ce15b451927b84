from __future__ import annotations

from inspect import signature

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip('spconv')

from mm3dpretrain.models.encoders import SparseResNetEncoder
from mm3dpretrain.models.encoders.sparse_resnet import _pool, _rows_of

SMALL = dict(
    voxel_size=0.1,
    stem_channels=4,
    stage_channels=(4, 6, 8, 8),
    num_blocks=(1, 1, 1, 1),
    hidden_channels=16,
    out_channels=12,
)


def small(**kwargs) -> SparseResNetEncoder:
    return SparseResNetEncoder(**{**SMALL, **kwargs})


def cloud(batch=2, num=200, channels=6):
    return torch.cat([torch.rand(batch, num, 3) * 2 - 1, torch.rand(batch, num, channels - 3)], -1)


def dense_twin(encoder: SparseResNetEncoder, points: torch.Tensor) -> torch.Tensor:
    """Joined features (V, C) of the voxels of one cloud by dense convolutions, eval mode."""
    features, cells, _ = encoder._voxels(points)
    size = [int(s) for s in (cells[:, 1:].amax(0) // 64 + 1) * 64]
    place = tuple(cells[:, 1:].T)

    def grid(values, place, size):
        out = torch.zeros(values.shape[1], *size)
        out[(slice(None), *place)] = values.T
        return out[None]

    def convolve(conv, x, **kwargs):
        return F.conv3d(x, conv.weight.permute(0, 4, 1, 2, 3), **kwargs)

    def at(x, place):
        return x[0][(slice(None), *place)].T

    x = at(convolve(encoder.stem[0], grid(features, place, size), padding=2), place)
    x = encoder.stem[1](x).relu()
    joined = []
    for down, stage in zip(encoder.downs, encoder.stages):
        dense = convolve(down[0], grid(x, place, size), stride=2)
        cells, owner = (torch.stack(place, 1) // 2).unique(dim=0, return_inverse=True)
        place, size = tuple(cells.T), [s // 2 for s in size]
        x = down[1](at(dense, place)).relu()
        for block in stage:
            y = block.norm1(at(convolve(block.conv1, grid(x, place, size), padding=1), place))
            y = grid(y.relu(), place, size)
            y = block.norm2(at(convolve(block.conv2, y, padding=1), place))
            x = (y + block.shortcut(x)).relu()
        joined.append((x, owner))
    result, rows = [], torch.arange(len(features))
    for values, owner in joined:
        rows = owner[rows]
        result.append(values[rows])
    return torch.cat(result, dim=1)


def test_equals_dense_convolutions():
    encoder = small().eval()
    points = cloud(1, 60).abs()
    with torch.no_grad():
        out = encoder(points)
        _, _, owner = encoder._voxels(points)
        expected = dense_twin(encoder, points)[owner]
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(out['local'][0], expected, rtol=1e-3, atol=1e-4)


def test_shapes_and_gradients():
    encoder = small()
    points = cloud(3)
    out = encoder(points)
    assert out['global'].shape == (3, 12) and encoder.out_channels == 12
    assert out['local'].shape == (3, 200, 26) and encoder.embed_dim == 26
    assert torch.equal(out['xyz'], points[..., :3])
    (out['global'].square().sum() + out['local'].sum()).backward()
    assert not [n for n, p in encoder.named_parameters() if p.grad is None]


def test_a_cloud_does_not_depend_on_its_batch_or_a_whole_shift():
    encoder = small().eval()
    points = cloud(2)
    far = cloud(1) * 3
    with torch.no_grad():
        alone = encoder(points[:1])['global']
        together = encoder(torch.cat([points[:1], far]))['global'][:1]
        torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
        order = encoder(points[:1][:, torch.randperm(200)])['global']
        torch.testing.assert_close(alone, order, rtol=1e-4, atol=1e-5)


def test_thin_clouds():
    """All points in one voxel, and in a plane: no coarser grid is without cells."""
    encoder = small().eval()
    flat = cloud()
    flat[..., 2] = 0
    for points in (flat, torch.full((2, 4, 6), 0.3)):
        assert torch.isfinite(encoder(points)['global']).all()


def test_sizes_of_the_released_network():
    encoder = small(num_blocks=(3, 4, 6, 3))
    convolutions = [n for n, p in encoder.named_parameters() if p.dim() == 5]
    # stem, 4 strided, 2 in each of 16 blocks, 2 in the head
    assert len(convolutions) == 1 + 4 + 32 + 2
    default = {n: p.default for n, p in signature(SparseResNetEncoder).parameters.items()}
    assert default['num_blocks'] == (3, 4, 6, 3) and default['voxel_size'] == 0.02
    assert default['stage_channels'] == (32, 64, 128, 256) and default['hidden_channels'] == 1024


def test_rows_and_pools_equal_loops():
    cells = torch.randint(0, 12, (30, 4))
    cells[:, 0] %= 2
    coarse = torch.cat([cells[:, :1], cells[:, 1:] // 4], 1).unique(dim=0)
    coarse = coarse[torch.randperm(len(coarse))]
    rows = _rows_of(cells, coarse.int(), 4)
    for cell, row in zip(cells, rows):
        assert coarse[row].tolist() == [cell[0], *(cell[1:] // 4)]
    features, sample = torch.randn(9, 5), torch.tensor([0, 1, 1, 0, 2, 1, 2, 0, 0])
    pooled = _pool(features, sample, 3)
    for i in range(3):
        mine = features[sample == i]
        torch.testing.assert_close(pooled[i], torch.cat([mine.amax(0), mine.mean(0)]))


def test_bad_input():
    with pytest.raises(ValueError, match='voxel_size'):
        small(voxel_size=0)
    with pytest.raises(ValueError, match='four stages'):
        small(num_blocks=(1, 1))
    with pytest.raises(ValueError, match=r'\(B, N, 6\)'):
        small()(torch.rand(2, 10, 3))
