from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mm3dpretrain.datasets.shard_order import (
    batches_before,
    buffer_order,
    lane_bounds,
    lane_pieces,
)


@pytest.mark.parametrize('counts', [[5], [5, 3, 8], [1, 1, 1, 20], [7, 0, 2]])
@pytest.mark.parametrize('lanes', [1, 2, 3, 5])
@pytest.mark.parametrize('shuffle', [True, False])
def test_every_sample_is_in_one_lane(counts, lanes, shuffle):
    counts = np.array(counts)
    seen, sizes = Counter(), []
    for lane in range(lanes):
        pieces = lane_pieces(counts, lane, lanes, seed=3, epoch=2, shuffle=shuffle)
        mine = [(p.shard, place) for p in pieces for place in range(p.start, p.stop)]
        first, last = lane_bounds(int(counts.sum()), lane, lanes)
        assert len(mine) == last - first
        seen.update(mine)
        sizes.append(len(mine))
    assert seen == Counter((s, place) for s, n in enumerate(counts) for place in range(n))
    assert max(sizes) - min(sizes) <= 1


def test_shards_have_another_order_in_every_epoch():
    counts = np.full(20, 4)
    orders = [
        tuple(p.shard for p in lane_pieces(counts, 0, 1, seed=0, epoch=e, shuffle=True))
        for e in range(5)
    ]
    assert len(set(orders)) == 5
    assert all(sorted(order) == list(range(20)) for order in orders)
    plain = lane_pieces(counts, 0, 1, seed=0, epoch=1, shuffle=False)
    assert [p.shard for p in plain] == list(range(20))


def naive_buffer(count, size, seed):
    """A buffer of samples in place of their numbers."""
    draws = iter(np.random.default_rng(seed).random(count))
    stream, buffer, out = iter(range(count)), [], []
    for sample in stream:
        buffer.append(sample)
        if len(buffer) == size:
            break
    while buffer:
        chosen = int(next(draws) * len(buffer))
        out.append(buffer[chosen])
        follows = next(stream, None)
        if follows is None:
            buffer[chosen] = buffer[-1]
            buffer.pop()
        else:
            buffer[chosen] = follows
    return out


@pytest.mark.parametrize('count, size', [(1, 4), (10, 1), (10, 4), (10, 100), (200, 16)])
def test_buffer_order_is_that_of_a_buffer(count, size):
    order = buffer_order(count, size, seed=5)
    assert order.tolist() == naive_buffer(count, size, seed=5)
    assert sorted(order) == list(range(count))
    assert (order < np.arange(count) + size).all()


def test_buffer_mixes():
    order = buffer_order(2000, 200, seed=0)
    assert np.abs(order - np.arange(2000)).mean() > 50
    assert not np.array_equal(order, buffer_order(2000, 200, seed=1))


@pytest.mark.parametrize('workers', [1, 2, 3])
def test_workers_take_turns(workers):
    made = [0] * workers
    for batch in range(10):
        assert [batches_before(batch, w, workers) for w in range(workers)] == made
        made[batch % workers] += 1
