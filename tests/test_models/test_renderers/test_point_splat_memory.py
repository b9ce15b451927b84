"""Hundreds of feature channels: the memory is that of the maps, not of fragments x channels."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mm3dpretrain.models.renderers import PointSplatRenderer, orbit_views, splat_torch

# Peaks above what the process held before, in MiB, of one forward and backward pass each.
PROGRAM = """
import torch
torch.set_num_threads(1)
from mm3dpretrain.models.renderers import PointSplatRenderer, orbit_views
cameras = orbit_views(1, image_size=(240, 320))
renderers = [
    PointSplatRenderer(4.0, backend='numba'),
    PointSplatRenderer(4.0, backend='numba', compositing='max'),
    PointSplatRenderer(4.0, backend='torch'),
]

def run(renderer, num, channels):
    points = torch.nn.functional.normalize(torch.randn(1, num, 3), dim=-1).requires_grad_()
    features = torch.rand(1, num, channels, requires_grad=True)
    output = renderer(points, cameras, features)
    (output.features.square().mean() + output.depth.mean() + output.mask.mean()).backward()
    assert features.grad.abs().sum() > 0 and points.grad.abs().sum() > 0

def peak():
    # not ru_maxrss: that starts with the peak of the process that started this one
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) / 1024

for renderer in renderers:
    run(renderer, 100, 2)  # compiles
before = peak()
for renderer in renderers:
    run(renderer, 20000, 256)
    print(peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
def test_256_channels_need_less_than_a_gigabyte():
    """20,000 points at 240 x 320: the map has 75 MiB, a million fragments would have 1000."""
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    peaks = [float(line) for line in done.stdout.split()]
    assert len(peaks) == 3
    # at least the map, its gradient and the features are needed
    assert peaks[0] > 150 and max(peaks) < 650, peaks


@pytest.mark.parametrize('products', [1, 1000])
def test_few_channels_at_a_time_give_the_same(monkeypatch, products):
    points = torch.randn(2, 40, 3, dtype=torch.double).requires_grad_()
    features = torch.randn(2, 40, 7, dtype=torch.double).requires_grad_()
    cameras = orbit_views(2, image_size=(15, 20))
    results = []
    for compositing in ('soft', 'max'):
        for limit in (splat_torch.MAX_PRODUCTS, products):
            monkeypatch.setattr(splat_torch, 'MAX_PRODUCTS', limit)
            renderer = PointSplatRenderer(backend='torch', compositing=compositing)
            found = renderer(points, cameras, features).features
            grads = torch.autograd.grad((found * found.detach().cos()).sum(), (points, features))
            results.append((found, *grads))
        for whole, parts in zip(*results[-2:]):
            assert torch.allclose(whole, parts, atol=1e-12)
