from __future__ import annotations

import pytest
import torch
from dist_utils import run_distributed
from torch.nn import functional as F

from mm3dpretrain.models.losses import CoordinateLoss, FeatureTransferLoss

DISTANCES = ('cosine', 'smooth_l1', 'mse')


def maps(seed=0, views=2, size=2, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    ours, theirs = torch.randn(2, size, views, 5, 4, 6, generator=g, dtype=dtype)
    mask = torch.rand(size, views, 4, 6, generator=g) < 0.4
    return ours, theirs, mask


def naive(distance, ours, theirs, mask):
    total = 0.0
    for b in range(len(ours)):
        for v in range(ours.shape[1]):
            cells = mask[b, v].nonzero().tolist()
            for row, column in cells:
                x, y = ours[b, v, :, row, column], theirs[b, v, :, row, column]
                if distance == 'cosine':
                    value = 1 - F.cosine_similarity(x, y, dim=0)
                elif distance == 'mse':
                    value = ((x - y) ** 2).mean()
                else:
                    d = (x - y).abs()
                    value = torch.where(d < 1, d**2 / 2, d - 0.5).mean()
                total = total + value / len(cells)
    return total / (len(ours) * ours.shape[1])


@pytest.mark.parametrize('distance', DISTANCES)
def test_agrees_with_a_loop(distance):
    ours, theirs, mask = maps()
    loss = FeatureTransferLoss(distance)(ours, theirs, mask)
    torch.testing.assert_close(loss, naive(distance, ours, theirs, mask))


@pytest.mark.parametrize('distance', DISTANCES)
def test_zero_for_the_teachers_own_map(distance):
    ours, _, mask = maps()
    assert FeatureTransferLoss(distance)(ours, ours.clone(), mask) == 0


@pytest.mark.parametrize('distance', DISTANCES)
def test_masked_cells_do_not_matter(distance):
    ours, theirs, mask = maps()
    loss = FeatureTransferLoss(distance)
    hidden = ~mask[:, :, None].expand_as(ours)
    value = loss(ours, theirs, mask)
    for fill in (1e9, float('nan'), float('inf')):
        changed = ours.masked_fill(hidden, fill).requires_grad_()
        other = loss(changed, theirs.masked_fill(hidden, fill), mask)
        assert other == value
        other.backward()
        assert changed.grad.isfinite().all() and (changed.grad[hidden] == 0).all()


@pytest.mark.parametrize('distance', DISTANCES)
def test_pictures_without_points_add_nothing(distance):
    ours, theirs, mask = maps()
    loss = FeatureTransferLoss(distance)
    ours.requires_grad_()
    mask[0, 0] = False
    rest = sum(
        loss(ours[b : b + 1, v : v + 1], theirs[b : b + 1, v : v + 1], mask[b : b + 1, v : v + 1])
        for b, v in ((0, 1), (1, 0), (1, 1))
    )
    torch.testing.assert_close(loss(ours, theirs, mask), rest / 4)
    empty = loss(ours, theirs, torch.zeros_like(mask))
    assert empty == 0
    empty.backward()
    assert (ours.grad == 0).all()


@pytest.mark.parametrize('distance', DISTANCES)
def test_gradient(distance):
    ours, theirs, mask = maps(dtype=torch.float64)
    ours.requires_grad_()
    FeatureTransferLoss(distance)(ours, theirs, mask).backward()
    # the loss itself is in single precision: the difference is taken over a large step
    b, v, row, column = mask.nonzero()[0].tolist()
    step = 1e-2
    values = []
    for sign in (1, -1):
        moved = ours.detach().clone()
        moved[b, v, 2, row, column] += sign * step
        values.append(FeatureTransferLoss(distance)(moved, theirs, mask).double())
    slope = (values[0] - values[1]) / (2 * step)
    torch.testing.assert_close(ours.grad[b, v, 2, row, column], slope, rtol=1e-2, atol=1e-5)


def test_the_teacher_gets_no_gradient():
    ours, theirs, mask = maps()
    theirs.requires_grad_()
    FeatureTransferLoss()(ours.requires_grad_(), theirs, mask).backward()
    assert theirs.grad is None and ours.grad.abs().sum() > 0


def _parts(rank, world_size, part):
    torch.manual_seed(0)
    rows = slice(None) if world_size == 1 else slice(2 * rank, 2 * rank + 2)
    if part == 'transfer':
        ours, theirs, mask = maps(size=4)
        ours = ours[rows].requires_grad_()
        loss = FeatureTransferLoss()(ours, theirs[rows], mask[rows])
    else:
        ours, theirs, valid = coordinates(size=4)
        ours = ours[rows].requires_grad_()
        loss = CoordinateLoss()(ours, theirs[rows], valid[rows])
    loss.backward()
    return loss.detach(), ours.grad


@pytest.mark.parametrize('part', ['transfer', 'coordinates'])
def test_two_processes_are_one(part):
    (first, grad_first), (second, grad_second) = run_distributed(_parts, 2, (part,))
    whole, grad = _parts(0, 1, part)
    torch.testing.assert_close((first + second) / 2, whole)
    torch.testing.assert_close(torch.cat([grad_first, grad_second]) / 2, grad)


def coordinates(size=2, views=2, queries=7):
    g = torch.Generator().manual_seed(3)
    ours, theirs = torch.rand(2, size, views, queries, 2, generator=g)
    return ours, theirs, torch.rand(size, views, queries, generator=g) < 0.6


@pytest.mark.parametrize('distance', ['mse', 'smooth_l1', 'l1'])
def test_coordinates_agree_with_a_loop(distance):
    ours, theirs, valid = coordinates()
    total = 0.0
    for b in range(2):
        for v in range(2):
            d = (ours - theirs)[b, v][valid[b, v]].abs()
            d = {
                'mse': d**2,
                'l1': d,
                'smooth_l1': torch.where(d < 0.05, d**2 / 0.1, d - 0.025),
            }[distance]
            total += d.sum(-1).mean()
    torch.testing.assert_close(CoordinateLoss(distance)(ours, theirs, valid), total / 4)


def test_perfect_and_missing_coordinates():
    ours, theirs, valid = coordinates()
    loss = CoordinateLoss()
    assert loss(theirs.clone(), theirs, valid) == 0
    ours[~valid] = float('nan')
    assert loss(ours, theirs, valid).isfinite()
    ours.requires_grad_()
    nothing = loss(ours, theirs, torch.zeros_like(valid))
    nothing.backward()
    assert nothing == 0 and (ours.grad == 0).all()


def test_coordinate_gradient():
    ours, theirs, valid = (x.double() if x.is_floating_point() else x for x in coordinates())
    for distance in ('mse', 'smooth_l1'):
        leaf = ours.clone().requires_grad_()
        CoordinateLoss(distance)(leaf, theirs, valid).backward()
        b, v, q = valid.nonzero()[0].tolist()
        step, values = 1e-3, []
        for sign in (1, -1):
            moved = ours.clone()
            moved[b, v, q, 0] += sign * step
            values.append(CoordinateLoss(distance)(moved, theirs, valid).double())
        slope = (values[0] - values[1]) / (2 * step)
        torch.testing.assert_close(leaf.grad[b, v, q, 0], slope, rtol=1e-2, atol=1e-4)


def test_bad_input():
    ours, theirs, mask = maps()
    with pytest.raises(ValueError, match='distance must be one of'):
        FeatureTransferLoss('euclid')
    with pytest.raises(ValueError, match='must lie on each other'):
        FeatureTransferLoss()(ours, theirs[..., :3], mask)
    with pytest.raises(ValueError, match='distance must be one of'):
        CoordinateLoss('euclid')
    ours, theirs, valid = coordinates()
    with pytest.raises(ValueError, match='do not belong together'):
        CoordinateLoss()(ours, theirs, valid[:, :1])
