"""Furthest point sampling: golden vectors, the naive twin, ties, ragged batches, bad input."""

from __future__ import annotations

import pytest
import torch

from mm3dpretrain import ops
from mm3dpretrain.ops import naive


@pytest.mark.parametrize('case', ['short', 'case0', 'case1', 'case2'])
def test_equals_pytorch3d(golden, case):
    arrays = golden('ops/farthest_point_sampling.npz')
    xyz = torch.from_numpy(arrays[f'{case}/points'])
    expected = torch.from_numpy(arrays[f'{case}/idx']).long()
    lengths = torch.from_numpy(arrays[f'{case}/lengths'])
    idx = ops.furthest_point_sample(xyz, int(arrays[f'{case}/K']), lengths)
    assert idx.dtype == torch.int64
    assert torch.equal(idx, expected)
    sampled = ops.gather_points(xyz, idx)
    assert torch.equal(sampled, torch.from_numpy(arrays[f'{case}/sampled']))


def test_six_channels_equal_pytorch3d(golden):
    arrays = golden('ops/farthest_point_sampling.npz')
    expected = torch.from_numpy(arrays['dim6/idx']).long()
    idx = ops.furthest_point_sample(torch.from_numpy(arrays['dim6/points']), expected.shape[1])
    assert torch.equal(idx, expected)


def test_skip_origin_equals_pointnet2(golden):
    arrays = golden('ops/farthest_point_sampling_pointnet2_near_origin.npz')
    xyz = torch.from_numpy(arrays['points'])
    for skip, name in ((True, 'idx_pointnet2'), (False, 'idx_plain')):
        expected = torch.from_numpy(arrays[name]).long()
        idx = ops.furthest_point_sample(xyz, expected.shape[1], skip_origin=skip)
        assert torch.equal(idx, expected)


def make_clouds(kind: str, batch: int, size: int, channels: int, dtype) -> torch.Tensor:
    """Clouds that stress a pruned kernel: ties, duplicates, planes, far outliers."""
    xyz = torch.randn(batch, size, channels, dtype=dtype)
    if kind == 'grid':  # many equal distances
        xyz = torch.randint(-2, 3, xyz.shape).to(dtype) / 4
    elif kind == 'duplicates':
        xyz[:, size // 2 :] = xyz[:, : size - size // 2]
    elif kind == 'same':
        xyz[:] = xyz[:, :1]
    elif kind == 'plane':
        xyz[..., -1] = 0.25
    elif kind == 'outlier':
        xyz[:, size // 3] = 1e4
    elif kind == 'lidar':  # far from the origin: rounding makes ties
        xyz = xyz * 20 + 1000
    return xyz


KINDS = ['normal', 'grid', 'duplicates', 'same', 'plane', 'outlier', 'lidar']


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [1, 65, 700, 3000])
def test_equals_naive_twin(kind, size):
    for channels, dtype in ((3, torch.float32), (6, torch.float32), (2, torch.float64)):
        xyz = make_clouds(kind, 3, size, channels, dtype)
        num = min(size, 60 if channels == 6 else 150)  # without and with a tree
        lengths = torch.tensor([size, max(1, size // 2), 1])
        start = torch.tensor([size - 1, 0, 0])
        for skip in (False, True):
            idx = ops.furthest_point_sample(xyz, num, lengths, start, skip)
            expected = naive.furthest_point_sample(xyz, num, lengths, start, skip)
            assert torch.equal(idx, expected), (kind, size, channels, skip)


def test_chooses_every_point_once_then_repeats_the_first():
    xyz = torch.randn(2, 300, 3)
    idx = ops.furthest_point_sample(xyz, 300)
    assert torch.equal(idx.sort(1).values, torch.arange(300).expand(2, 300))
    same = ops.furthest_point_sample(torch.ones(1, 4, 3), 4)
    assert same.tolist() == [[0, 0, 0, 0]]


def test_input_is_not_changed_and_padding_may_hold_nan():
    xyz = torch.randn(2, 50, 3)
    xyz[1, 20:] = float('nan')
    before = xyz.clone()
    lengths = torch.tensor([50, 20])
    idx = ops.furthest_point_sample(xyz, 30, lengths)
    assert torch.equal(xyz.nan_to_num(7.0), before.nan_to_num(7.0))
    assert (idx[1, 20:] == -1).all() and idx[1, :20].max() < 20
    assert torch.equal(idx, naive.furthest_point_sample(xyz, 30, lengths))


def test_strided_and_half_input():
    xyz = torch.randn(2, 3, 400).transpose(1, 2)
    assert torch.equal(
        ops.furthest_point_sample(xyz, 32), naive.furthest_point_sample(xyz.contiguous(), 32)
    )
    half = xyz.half()
    assert torch.equal(
        ops.furthest_point_sample(half, 32), naive.furthest_point_sample(half.float(), 32)
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(num_points=9), r'num_points = 9 but xyz has only 8 points'),
        (dict(num_points=0), 'num_points must be at least 1, got 0'),
        (dict(num_points=2.5), 'num_points must be an int'),
        (dict(xyz=torch.zeros(8, 3)), r'shape \(B, N, D\), got \(8, 3\)'),
        (dict(xyz=torch.zeros(1, 0, 3)), 'xyz is empty'),
        (dict(xyz=torch.zeros(1, 8, 3, dtype=torch.long)), 'xyz must be floating point'),
        (dict(xyz=[[0.0]]), 'xyz must be a torch.Tensor, got list'),
        (dict(xyz=torch.full((2, 8, 3), float('nan'))), r'16 points .* first is xyz\[0, 0\]'),
        (dict(lengths=torch.tensor([8, 0])), r'lengths\[1\] = 0 is outside \[1, 8\]'),
        (dict(lengths=torch.tensor([8, 9])), r'lengths\[1\] = 9'),
        (dict(lengths=torch.tensor([8])), r'lengths must have shape \(2,\)'),
        (dict(lengths=torch.tensor([8.0, 8.0])), 'lengths must be integers'),
        (dict(start_index=8), 'start_index 8 is outside'),
        (dict(start_index=torch.tensor([0, 6]), lengths=torch.tensor([8, 5])), 'start_index'),
        (dict(start_index=0.5), 'start_index must be an int'),
    ],
)
def test_bad_input(change, message):
    arguments = dict(xyz=torch.randn(2, 8, 3), num_points=4) | change
    with pytest.raises(ValueError, match=message):
        ops.furthest_point_sample(**arguments)


def test_infinite_point_is_named():
    xyz = torch.randn(2, 8, 3)
    xyz[1, 5, 2] = float('-inf')
    with pytest.raises(ValueError, match=r'xyz\[1, 5\]'):
        ops.furthest_point_sample(xyz, 4)


def test_huge_coordinates():
    """Finite, though sums and squares are not."""
    same = torch.full((1, 8, 3), 3e38)
    assert ops.furthest_point_sample(same, 2).tolist() == [[0, 0]]
    xyz = torch.randn(2, 500, 3) * 1e25
    assert torch.equal(ops.furthest_point_sample(xyz, 40), naive.furthest_point_sample(xyz, 40))
