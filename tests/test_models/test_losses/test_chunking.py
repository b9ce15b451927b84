from __future__ import annotations

import pytest
import torch

from mm3dpretrain.models.losses.chunking import chunked_sum


def function(start, rows, shared):
    """Depends on every argument, the place of the rows included."""
    a, b = rows
    index = torch.arange(start, start + len(a), dtype=a.dtype)
    values = (a @ shared[0].T).tanh().sum(1) * (1 + index) + b.square() * shared[1]
    return values.sum(), values.detach()


def tensors():
    shapes = ((11, 3), (11,), (5, 3), ())
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize('size', [1, 4, 11])
def test_equals_one_piece(size):
    x = tensors()
    whole, figures = function(0, x[:2], x[2:])
    value, found = chunked_sum(function, x[:2], x[2:], size)
    torch.testing.assert_close((value, found), (whole, figures))
    grads = torch.autograd.grad(3 * value, x)
    torch.testing.assert_close(grads, torch.autograd.grad(3 * whole, x))
    assert not found.requires_grad


def test_finite_differences():
    x = tensors()
    assert torch.autograd.gradcheck(
        lambda *x: chunked_sum(function, x[:2], x[2:], 4)[0], x, rtol=1e-4
    )


def test_only_what_needs_a_gradient_gets_one():
    x = tensors()
    x[0].requires_grad_(False)
    x[2].requires_grad_(False)
    value, _ = chunked_sum(function, x[:2], x[2:], 4)
    value.backward()
    assert x[0].grad is None and x[2].grad is None
    assert x[1].grad is not None and x[3].grad is not None
    with torch.no_grad():
        assert torch.equal(chunked_sum(function, x[:2], x[2:], 4)[0], value)
