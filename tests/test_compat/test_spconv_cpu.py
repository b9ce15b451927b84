"""spconv on CPU: forward and backward equal a dense convolution."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import types

import pytest
import torch
from torch.nn import functional as F

from mm3dpretrain import compat
from mm3dpretrain.compat import require, spconv_cpu


def test_stream_is_zero_without_cuda_and_the_real_one_with_it(monkeypatch):
    module = types.SimpleNamespace(get_current_stream=lambda: 1234)
    spconv_cpu.mend_stream(module)
    mended = module.get_current_stream
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert mended() == 0
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert mended() == 1234
    spconv_cpu.mend_stream(module)
    assert module.get_current_stream is mended


def as_dense(weight: torch.Tensor) -> torch.Tensor:
    """spconv keeps (out, kx, ky, kz, in), torch (out, in, kx, ky, kz)."""
    return weight.permute(0, 4, 1, 2, 3)


@pytest.mark.parametrize(
    ('kind', 'bias', 'stride'),
    [('SubMConv3d', False, 1), ('SubMConv3d', True, 1), ('SparseConv3d', False, 2)],
)
def test_trains_on_cpu_like_a_dense_convolution(kind, bias, stride):
    torch.manual_seed(0)
    pytest.importorskip('spconv')
    spconv = require('spconv.pytorch', extra='sparse')
    size, batch = (6, 7, 8), 2
    occupied = torch.rand(batch, *size) < 0.3
    # spconv reads the memory as it lies, and `nonzero` returns a transposed view.
    indices = occupied.nonzero().int().contiguous()
    features = torch.randn(len(indices), 3)
    conv = getattr(spconv, kind)(3, 5, 3, stride=stride, padding=1, bias=bias)

    sparse_in = features.clone().requires_grad_()
    out = conv(spconv.SparseConvTensor(sparse_in, indices, size, batch))
    target = torch.randn(out.features.shape)
    (out.features * target).sum().backward()

    dense_in = features.clone().requires_grad_()
    where = tuple(indices.long().T)
    grid = torch.zeros(batch, *size, 3).index_put(where, dense_in).permute(0, 4, 1, 2, 3)
    weight = as_dense(conv.weight).detach().clone().requires_grad_()
    dense = F.conv3d(grid, weight, conv.bias, stride=stride, padding=1).permute(0, 2, 3, 4, 1)
    picked = dense[tuple(out.indices.long().T)]
    (picked * target).sum().backward()

    assert torch.allclose(out.features, picked, atol=1e-5)
    assert torch.allclose(sparse_in.grad, dense_in.grad, atol=1e-4)
    assert torch.allclose(as_dense(conv.weight.grad), weight.grad, atol=1e-4)


def test_threads_do_not_change_a_convolution():
    """spconv's own kernel let threads overwrite each other's rows: never twice the same sums."""
    pytest.importorskip('spconv')
    code = """
        import torch
        from mm3dpretrain.compat import require
        spconv = require('spconv.pytorch', extra='sparse')
        torch.manual_seed(0)
        occupied = torch.rand(1, 24, 24, 24) < 0.2
        indices = occupied.nonzero().int().contiguous()
        values = torch.randn(len(indices), 16, requires_grad=True)
        conv = spconv.SubMConv3d(16, 16, 3, padding=1, bias=False)
        outs, grads = [], []
        for _ in range(5):
            out = conv(spconv.SparseConvTensor(values, indices, (24, 24, 24), 1)).features
            outs.append(out.detach())
            grads.append(torch.autograd.grad(out.square().sum(), values)[0])
        grid = torch.zeros(1, 24, 24, 24, 16).index_put(tuple(indices.long().T), values)
        weight = conv.weight.permute(0, 4, 1, 2, 3)
        dense = torch.nn.functional.conv3d(grid.permute(0, 4, 1, 2, 3), weight, padding=1)
        dense = dense.permute(0, 2, 3, 4, 1)[tuple(indices.long().T)]
        expected = torch.autograd.grad(dense.square().sum(), values)[0]
        for out, grad in zip(outs, grads):
            torch.testing.assert_close(out, dense.detach(), atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(grad, expected, atol=1e-4, rtol=1e-4)
    """
    # the number of threads is read when spconv is loaded: a process of its own
    environment = {**os.environ, 'OMP_NUM_THREADS': '4'}
    subprocess.run([sys.executable, '-c', textwrap.dedent(code)], env=environment, check=True)


def sparse_tensor(size=(5, 6, 7), channels=3):
    spconv = require('spconv.pytorch', extra='sparse')
    occupied = torch.rand(2, *size) < 0.3
    indices = occupied.nonzero().int().contiguous()
    return spconv.SparseConvTensor(torch.randn(len(indices), channels), indices, size, 2)


def test_a_bias_in_evaluation():
    spconv = pytest.importorskip('spconv.pytorch')
    tensor, conv = sparse_tensor(), spconv.SubMConv3d(3, 4, 3, padding=1, bias=True)
    expected = conv.train()(tensor).features
    assert conv.bias.abs().max() > 0
    with torch.no_grad():
        assert torch.allclose(conv.eval()(tensor).features, expected, atol=1e-6)


def test_features_can_be_assigned_on_the_cpu():
    pytest.importorskip('spconv')
    tensor = sparse_tensor()
    try:
        compat.set_cpu_ops('on')
        tensor.features = tensor.features * 2
        with pytest.raises(ValueError, match='1 rows of features'):
            tensor.features = torch.zeros(1, 3)
        compat.set_cpu_ops('off')
        with pytest.raises(ValueError, match='replace_feature'):
            tensor.features = tensor.features * 2
    finally:
        compat.set_cpu_ops(None)


@pytest.mark.parametrize('kernel', [(3, 1, 3), (3, 3, 3)])
def test_layers_with_one_key_share_the_first_neighbourhood(kernel):
    """As mmcv: slice i of any kernel meets neighbour i of the first layer's."""
    spconv = pytest.importorskip('spconv.pytorch')
    layer = spconv_cpu.submanifold_like_mmcv()
    first = layer(3, 4, (1, 3, 3), padding=1, bias=False, indice_key='shared')
    second = layer(4, 5, kernel, padding=1, bias=True, indice_key='shared')
    plain = spconv.SubMConv3d(4, 5, (1, 3, 3), padding=1, bias=True, indice_key='shared')
    with torch.no_grad():
        plain.weight.copy_(second.weight.flatten(1, 3)[:, :9].unflatten(1, (1, 3, 3)))
        plain.bias.copy_(second.bias)
    tensor = sparse_tensor()
    middle = first(tensor)
    out, expected = second(middle), plain(middle)
    assert torch.allclose(out.features, expected.features, atol=1e-6)
    target = torch.randn_like(out.features)
    grad = torch.autograd.grad((out.features * target).sum(), second.weight, retain_graph=True)[0]
    known = torch.autograd.grad((expected.features * target).sum(), plain.weight)[0]
    assert torch.allclose(grad.flatten(1, 3)[:, :9], known.flatten(1, 3), atol=1e-4)
    assert grad.flatten(1, 3)[:, 9:].eq(0).all()


def test_a_kernel_too_small_for_the_shared_neighbourhood():
    pytest.importorskip('spconv')
    layer = spconv_cpu.submanifold_like_mmcv()
    middle = layer(3, 3, 3, padding=1, indice_key='shared')(sparse_tensor())
    with pytest.raises(ValueError, match="indice_key 'shared' holds 27 neighbours"):
        layer(3, 3, (1, 3, 3), padding=1, indice_key='shared')(middle)
