"""spconv on CPU: forward and backward equal a dense convolution."""

from __future__ import annotations

import types

import pytest
import torch
from torch.nn import functional as F

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
