"""Dynamic scatter on the CPU equals its twin, gradients by finite differences."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from mm3dpretrain.compat import set_cpu_ops
from mm3dpretrain.compat.mmcv_cpu import naive

mmcv_ops = pytest.importorskip('mmcv.ops')

KINDS = ('max', 'mean', 'sum')


def points(size: int, channels: int, extents: tuple[int, ...], ties: bool = False):
    feats = torch.randint(0, 3, (size, channels)).float() if ties else torch.randn(size, channels)
    coors = torch.stack([torch.randint(0, extent, (size,)) for extent in extents], 1).int()
    coors[torch.rand(size) < 0.1, -1] = -1
    return feats, coors


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('extents', [(4, 5, 6), (1, 1, 2), (2000, 3000, 40), (7, 3, 4, 5)])
def test_scatter(kind, extents):
    feats, coors = points(500, 7, extents)
    ours, theirs = feats.clone().requires_grad_(), feats.clone().requires_grad_()
    out, voxels = mmcv_ops.dynamic_scatter(ours, coors, kind)
    expected, expected_voxels = naive.dynamic_scatter(theirs, coors, kind)
    assert voxels.dtype == coors.dtype
    assert torch.equal(voxels, expected_voxels)
    assert torch.allclose(out, expected, atol=1e-5)
    weight = torch.rand_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_gradient(kind):
    feats, coors = points(40, 3, (2, 3, 2))
    wide = feats.double().requires_grad_()
    assert gradcheck(lambda f: mmcv_ops.dynamic_scatter(f, coors, kind)[0], wide)


def test_the_first_of_equal_maxima_gets_the_gradient():
    feats, coors = points(60, 4, (2, 2, 2), ties=True)
    feats.requires_grad_()
    out, voxels = mmcv_ops.dynamic_scatter(feats, coors, 'max')
    out.sum().backward()
    expected = torch.zeros_like(feats)
    for v, voxel in enumerate(voxels):
        members = (coors == voxel).all(1).nonzero()[:, 0]
        for c in range(4):
            best = members[feats[members, c] == out[v, c]][0]
            expected[best, c] = 1
    assert torch.equal(feats.grad, expected)


def test_map_and_counts_of_the_extension():
    from mmcv import _ext

    feats, coors = points(200, 2, (3, 3, 3))
    _, voxels, voxel_of, counts = _ext.dynamic_point_to_voxel_forward(feats, coors, 'sum')
    outside = (coors < 0).any(1)
    assert voxel_of.dtype == counts.dtype == torch.int32
    assert voxel_of[outside].eq(-1).all()
    assert torch.equal(voxels[voxel_of[~outside].long()], coors[~outside])
    assert torch.equal(counts.long(), voxel_of[~outside].long().bincount())


def test_nothing_to_scatter():
    feats, coors = torch.rand(0, 4, requires_grad=True), torch.zeros(0, 3, dtype=torch.int32)
    out, voxels = mmcv_ops.dynamic_scatter(feats, coors, 'max')
    assert out.shape == (0, 4) and voxels.shape == (0, 3)
    feats = torch.rand(5, 4, requires_grad=True)
    outside = torch.full((5, 3), -1, dtype=torch.int32)
    out, voxels = mmcv_ops.dynamic_scatter(feats, outside, 'mean')
    assert out.shape == (0, 4) and voxels.shape == (0, 3)
    out.sum().backward()
    assert feats.grad.eq(0).all()


def test_module_with_a_batch():
    feats, coors = points(300, 5, (4, 4, 4))
    batch = torch.arange(300).mul(3).div(300, rounding_mode='floor').int()[:, None]
    scatter = mmcv_ops.DynamicScatter([1, 1, 1], [0, 0, 0, 4, 4, 4], average_points=True)
    out, voxels = scatter(feats, torch.cat([batch, coors], 1))
    for b in range(3):
        rows = voxels[:, 0] == b
        mine = batch[:, 0] == b
        expected, places = naive.dynamic_scatter(feats[mine], coors[mine], 'mean')
        assert torch.equal(voxels[rows, 1:], places)
        assert torch.allclose(out[rows], expected, atol=1e-5)


def test_wrong_input_is_named():
    feats, coors = points(10, 2, (3, 3, 3))
    with pytest.raises(ValueError, match="one of sum, mean, max, got 'median'"):
        mmcv_ops.dynamic_scatter(feats, coors, 'median')
    with pytest.raises(ValueError, match=r'got \(10, 2\) and \(9, 3\)'):
        mmcv_ops.dynamic_scatter(feats, coors[1:], 'max')
    huge = torch.full((2, 3), 2**31 - 1, dtype=torch.int32)
    with pytest.raises(ValueError, match='too large to be numbered'):
        mmcv_ops.dynamic_scatter(feats[:2], huge, 'max')


@pytest.mark.gpu
@pytest.mark.parametrize('kind', KINDS)
def test_equal_to_the_cuda_kernel(kind):
    feats, coors = points(5000, 8, (20, 20, 3))
    ours, theirs = feats.clone().requires_grad_(), feats.cuda().requires_grad_()
    try:
        set_cpu_ops('on')
        out, voxels = mmcv_ops.dynamic_scatter(ours, coors, kind)
        there, voxels_there = mmcv_ops.dynamic_scatter(theirs, coors.cuda(), kind)
        assert torch.equal(voxels, voxels_there.cpu())
        assert torch.allclose(out, there.cpu(), atol=1e-5)
        out.square().sum().backward()
        there.square().sum().backward()
        assert torch.allclose(ours.grad, theirs.grad.cpu(), atol=1e-4)
    finally:
        set_cpu_ops(None)
