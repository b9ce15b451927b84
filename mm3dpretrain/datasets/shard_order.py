"""In which order the samples of shards come, as numbers only.

The samples of all shards, the shards in the order of an epoch, are one long row. It is cut into
equal parts, one for each loader process of each rank (its lane): every sample is in one lane, and
lanes differ by one sample at most, however many shards there are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .samplers import mix_seed


class Piece(NamedTuple):
    """Samples ``start`` to ``stop`` (excluded) of a shard."""

    shard: int
    start: int
    stop: int


def lane_bounds(total: int, lane: int, lanes: int) -> tuple[int, int]:
    """Where lane ``lane`` of ``lanes`` begins and ends in a row of ``total`` samples."""
    return total * lane // lanes, total * (lane + 1) // lanes


def lane_pieces(
    counts: np.ndarray, lane: int, lanes: int, seed: int, epoch: int, shuffle: bool
) -> list[Piece]:
    """What a lane reads in an epoch, in this order.

    Args:
        counts: (S,) samples of every shard.
        lane: number of the lane.
        lanes: how many there are.
        seed: of the run.
        epoch: from 0; with ``shuffle``, every epoch has its own order of shards.
        shuffle: False keeps the order of the list.
    """
    order = np.arange(len(counts))
    if shuffle:
        order = np.random.default_rng(mix_seed(seed, epoch)).permutation(len(counts))
    ends = np.cumsum(counts[order])
    first, last = lane_bounds(int(ends[-1]), lane, lanes)
    pieces = []
    for number in range(int(np.searchsorted(ends, first, side='right')), len(order)):
        begin = int(ends[number] - counts[order[number]])
        if begin >= last:
            break
        start, stop = max(first - begin, 0), min(last, int(ends[number])) - begin
        if stop > start:
            pieces.append(Piece(int(order[number]), start, stop))
    return pieces


def buffer_order(count: int, size: int, seed: int) -> np.ndarray:
    """The order in which a shuffle buffer lets go of samples 0 to ``count`` - 1.

    The buffer holds ``size`` samples; a random one of them leaves and the next one takes its place.

    Args:
        count: how many samples come in.
        size: of the buffer; 1 leaves them as they come.
        seed: of the draws.

    Returns:
        (count,) int64: number ``order[t]`` leaves at step t, never earlier than ``size`` - 1 steps
        before it came in.
    """
    if size <= 1:
        return np.arange(count)
    places = list(range(min(size, count)))
    draws = np.random.default_rng(seed).random(count)
    order = np.empty(count, np.int64)
    coming = len(places)
    for step in range(count):
        chosen = int(draws[step] * len(places))
        order[step] = places[chosen]
        if coming < count:
            places[chosen] = coming
            coming += 1
        else:
            places[chosen] = places[-1]
            places.pop()
    return order


def batches_before(batch: int, worker: int, workers: int) -> int:
    """How many of the first ``batch`` batches worker ``worker`` makes: the workers take turns."""
    return max(0, -(-(batch - worker) // workers))
