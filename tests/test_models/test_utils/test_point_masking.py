from __future__ import annotations

import pytest
import torch

from mm3dpretrain.models.utils.point_masking import drop_points


def test_leaves_out_the_share():
    points = torch.randn(3, 100, 5)
    assert drop_points(points, 0.0, 0.1) is points
    for block in (None, 0.7):
        kept = drop_points(points, 0.35, block)
        assert kept.shape == (3, 65, 5)
        for cloud, rest in zip(points, kept):
            rows = [int((cloud == row).all(-1).nonzero()[0, 0]) for row in rest]
            assert rows == sorted(set(rows))


def test_draws_anew():
    points = torch.randn(1, 100, 3)
    assert not torch.equal(drop_points(points, 0.5), drop_points(points, 0.5))


def test_cubes_go_as_a_whole():
    """All cubes but one are kept or left out as a whole."""
    points = torch.rand(2, 2000, 3) * 2 - 1
    kept = drop_points(points, 0.4, 0.5)
    for cloud, rest in zip(points, kept):
        count = [torch.floor(x / 0.5).unique(dim=0, return_counts=True) for x in (cloud, rest)]
        before = {tuple(c.tolist()): int(n) for c, n in zip(*count[0])}
        after = {tuple(c.tolist()): int(n) for c, n in zip(*count[1])}
        partial = [c for c, n in after.items() if n != before[c]]
        assert len(partial) <= 1 and len(after) < len(before)


def test_bad_settings():
    points = torch.randn(1, 10, 3)
    with pytest.raises(ValueError, match='in .0, 1.'):
        drop_points(points, 1.0)
    with pytest.raises(ValueError, match='block_size must be positive'):
        drop_points(points, 0.5, 0.0)
