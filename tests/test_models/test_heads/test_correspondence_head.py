from __future__ import annotations

import math

import pytest
import torch

from mm3dpretrain.models.heads.correspondence_head import (
    partner,
    pool_maps,
    sample_cells,
    sinusoid,
)
from mm3dpretrain.registry import MODELS

B, V, C, H, W, Q = 2, 4, 6, 8, 12, 5
SIZE = (32, 48)
HEAD = dict(
    type='CorrespondenceHead', in_channels=C, embed_dim=16, num_heads=2, encoder_depth=1, grid=4
)
CONTRAST = dict(
    type='ContrastiveCorrespondenceHead',
    head=dict(type='ProjectionHead', in_channels=C, hidden_channels=8, out_channels=7),
)


def inputs(seed=0):
    g = torch.Generator().manual_seed(seed)
    maps = torch.randn(B, V, C, H, W, generator=g)
    mask = torch.rand(B, V, H, W, generator=g) < 0.6
    queries, targets = torch.rand(2, B, V, Q, 2, generator=g) * torch.tensor([48.0, 32.0])
    return maps * mask[:, :, None], mask, queries, targets, torch.ones(B, V, Q, dtype=torch.bool)


def build(cfg=HEAD):
    torch.manual_seed(0)
    return MODELS.build(cfg).eval()


@torch.no_grad()
def trained(cfg=HEAD):
    """Weights that are not those of the start, where the answer is the middle."""
    head = build(cfg)
    for parameter in head.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return head


def test_partner_swaps_pairs():
    x = torch.arange(8).view(2, 4)
    assert partner(x).tolist() == [[1, 0, 3, 2], [5, 4, 7, 6]]


def test_pooling_is_the_mean_of_seen_cells():
    maps, mask, *_ = inputs()
    mask[0, 1, :2, :3] = False
    pooled, seen = pool_maps(maps * mask[:, :, None], mask, 4)
    for b, v, row, column in ((0, 0, 0, 0), (1, 3, 3, 2), (0, 1, 0, 0)):
        cells = mask[b, v, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        values = maps[b, v, :, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3][:, cells]
        assert seen[b, v, 4 * row + column] == cells.any()
        expected = values.mean(1) if cells.any() else torch.zeros(C)
        torch.testing.assert_close(pooled[b, v, 4 * row + column], expected)


def test_samples_the_cell_below():
    maps, mask, *_ = inputs()
    at = torch.tensor([[0.0, 0.0], [0.999, 0.999], [1.5, -2.0], [5.5 / W, 2.5 / H]])
    rows, seen = sample_cells(maps, mask, at.expand(B, V, 4, 2))
    for k, (row, column) in enumerate(((0, 0), (H - 1, W - 1), (0, W - 1), (2, 5))):
        assert torch.equal(rows[:, :, k], maps[:, :, :, row, column])
        assert torch.equal(seen[:, :, k], mask[:, :, row, column])


def test_sinusoid():
    out = sinusoid(torch.tensor([0.25, 0.5]), 8)
    angle = math.pi * torch.tensor([0.25, 0.5, 0.5, 1.0])
    torch.testing.assert_close(out, torch.cat([angle.sin(), angle.cos()]))


def test_begins_without_a_preference():
    maps, mask, queries, targets, valid = inputs()
    out = build().loss(maps, mask, queries, targets, valid, SIZE)
    assert out['loss'].isfinite() and out['median_px'] > 0
    where = build()(maps, mask, queries, SIZE)
    assert where.shape == queries.shape
    assert ((where >= 0) & (where <= torch.tensor([48.0, 32.0]))).all()


def test_queries_do_not_see_each_other():
    maps, mask, queries, *_ = inputs()
    head = trained()
    alone = head(maps, mask, queries[:, :, 2:3], SIZE)
    torch.testing.assert_close(head(maps, mask, queries, SIZE)[:, :, 2:3], alone)


def test_swapping_the_views_swaps_the_answers():
    maps, mask, queries, *_ = inputs()
    head = trained()
    swapped = head(partner(maps), partner(mask), partner(queries), SIZE)
    torch.testing.assert_close(partner(swapped), head(maps, mask, queries, SIZE))


def test_pairs_and_samples_are_independent():
    maps, mask, queries, *_ = inputs()
    head = trained()
    whole = head(maps, mask, queries, SIZE)
    part = head(maps[1:, 2:], mask[1:, 2:], queries[1:, 2:], SIZE)
    torch.testing.assert_close(whole[1:, 2:], part)


def test_unseen_cells_do_not_matter():
    maps, mask, queries, *_ = inputs()
    head = trained()
    other = maps + 100 * ~mask[:, :, None]
    torch.testing.assert_close(head(other, mask, queries, SIZE), head(maps, mask, queries, SIZE))


@pytest.mark.parametrize('cfg', [HEAD, CONTRAST], ids=['regression', 'contrast'])
def test_invalid_queries_and_empty_views(cfg):
    maps, mask, queries, targets, valid = inputs()
    head = trained(cfg)
    valid[:, :, 0] = False
    value = head.loss(maps, mask, queries, targets, valid, SIZE)['loss']
    moved = queries.clone(), targets.clone()
    for x in moved:
        x[:, :, 0] = float('nan')
    torch.testing.assert_close(head.loss(maps, mask, *moved, valid, SIZE)['loss'], value)
    maps = maps.requires_grad_()
    for empty in (mask & False, mask & torch.tensor([True, False] * 2).view(1, 4, 1, 1)):
        out = head.loss(maps, empty, queries, targets, valid & False, SIZE)
        out['loss'].backward()
        assert out['loss'] == 0 and maps.grad.isfinite().all()
        assert head(maps, empty, queries, SIZE).isfinite().all()


def shifted(num=4, queries=16):
    """Two views of one random pattern, the first of them 4 cells of 4 pixels farther right."""
    pattern = torch.randn(num, C, H, 2 * W)
    maps = torch.stack([pattern[..., :W], pattern[..., 4 : W + 4]], 1)
    shift = torch.tensor([16.0, 0.0])
    right = torch.rand(num, 1, queries, 2) * torch.tensor([32.0, 32.0]) + shift
    at = torch.cat([right, right - shift], 1)
    return maps, torch.ones(num, 2, H, W, dtype=torch.bool), at, partner(at)


def test_contrast_finds_equal_features():
    maps, mask, queries, targets = shifted()
    found = build(CONTRAST)(maps, mask, queries, SIZE)
    # to the centre of a cell of 4 x 4 pixels
    assert ((found - targets).abs() <= 2 + 1e-4).all()


def test_regression_learns_a_shift():
    torch.manual_seed(0)
    head = MODELS.build(dict(HEAD, grid=8)).train()
    optimizer = torch.optim.Adam(head.parameters(), 5e-3)
    errors = []
    for _ in range(40):
        maps, mask, queries, targets = shifted()
        out = head.loss(maps, mask, queries, targets, torch.ones(4, 2, 16, dtype=torch.bool), SIZE)
        optimizer.zero_grad()
        out['loss'].backward()
        optimizer.step()
        errors.append(out['median_px'].item())
    assert sum(errors[-5:]) < 0.85 * sum(errors[:5])


def test_bad_settings():
    with pytest.raises(ValueError, match='multiple of 4 and of num_heads'):
        MODELS.build(dict(HEAD, embed_dim=18))
    maps, mask, queries, *_ = inputs()
    with pytest.raises(ValueError, match='views come in pairs'):
        build()(maps[:, :3], mask[:, :3], queries[:, :3], SIZE)


def test_weights_of_cells_are_those_of_the_distances():
    maps, mask, *_ = inputs()
    head = trained()
    wanted, cells = torch.randn(3, Q, 16), torch.randn(3, H * W, 16)
    seen = torch.rand(3, H * W) < 0.5
    weight = head._point(wanted, cells, seen)
    for p in range(3):
        for q in range(Q):
            distance = (wanted[p, q] - cells[p, seen[p]]).square().sum(-1)
            expected = (-head.log_sharpness.exp() * distance).softmax(0)
            torch.testing.assert_close(weight[p, q, seen[p]], expected, rtol=1e-4, atol=1e-6)
            assert (weight[p, q, ~seen[p]] == 0).all()


def test_sharp_features_find_their_cell_untrained():
    maps, mask, queries, targets = shifted()
    head = build()
    with torch.no_grad():
        head.log_sharpness.fill_(4.0)
    found = head(maps, mask, queries, SIZE)
    # to the centre of a cell of 4 x 4 pixels
    assert ((found - targets).abs() <= 2.001).all()
