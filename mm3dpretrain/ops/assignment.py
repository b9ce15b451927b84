"""Which point of one cloud belongs to which point of another one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import _checks
from .gather import gather_points
from .knn import knn

METHODS = ('hungarian', 'nearest', 'mutual_nn')


class Matching(NamedTuple):
    """Partners of the points of a cloud.

    Attributes:
        index (Tensor): (B, N) int64, the partner in the other cloud; 0 where there is none.
        valid (Tensor): (B, N) bool, whether there is one.
        distance (Tensor): (B, N) to the partner, in the unit of the coordinates, without gradient.
    """

    index: Tensor
    valid: Tensor
    distance: Tensor


def match_points(
    source: Tensor, target: Tensor, method: str = 'hungarian', max_distance: float | None = None
) -> Matching:
    """Find a partner in ``target`` for every point of ``source``.

    Args:
        source (Tensor): (B, N, D) coordinates.
        target (Tensor): (B, M, D) in the same frame and unit.
        method (str): 'hungarian', one to one with the least sum of distances (SimIPU, Sec. 3.2);
            'nearest', each its nearest neighbour, so that several may share one; or 'mutual_nn',
            only pairs that are each other's nearest neighbour. The last two stay on the device.
        max_distance (float | None): pairs further apart are not valid. None: no limit.

    Returns:
        Matching: where 'hungarian' has more sources than targets, those left over are not valid.

    Raises:
        ValueError: wrong shape, dtype, method or limit, or a coordinate that is NaN or infinite.
    """
    return start_matching(source, target, method, max_distance)()


def start_matching(
    source: Tensor, target: Tensor, method: str = 'hungarian', max_distance: float | None = None
) -> Callable[[], Matching]:
    """:func:`match_points` that goes on in the background; call the result to wait for it.

    'hungarian' runs on the CPU, one thread for each cloud, without holding Python's lock: a
    network may run meanwhile. 'nearest' and 'mutual_nn' are done when this returns.

    Args:
        source, target, method, max_distance: see :func:`match_points`.

    Returns:
        Callable[[], Matching]: to be called once.

    Raises:
        ValueError: see :func:`match_points`; for coordinates that are not finite when the result is
            asked for.
    """
    if source.dim() != 3 or target.dim() != 3 or 0 in source.shape or 0 in target.shape:
        raise ValueError(
            'clouds to match must be (B, N, D) and (B, M, D) and not empty, got '
            f'{tuple(source.shape)} and {tuple(target.shape)}'
        )
    source, target = _checks.pair('source', source.detach(), 'target', target.detach())
    _checks.choice('method', method, METHODS)
    if max_distance is not None and not max_distance > 0:
        raise ValueError(f'max_distance must be positive or None, got {max_distance}')

    if method == 'hungarian':
        wait = _start_hungarian(source, target)
    else:
        index = knn(source, target, 1).idx[..., 0]
        valid = torch.ones_like(index, dtype=torch.bool)
        if method == 'mutual_nn':
            back = knn(target, source, 1).idx[..., 0].gather(1, index)
            valid = back == torch.arange(index.shape[1], device=index.device)

        def wait() -> tuple[Tensor, Tensor]:
            return index, valid

    def result() -> Matching:
        index, valid = wait()
        distance = (gather_points(target, index) - source).norm(dim=-1)
        if max_distance is not None:
            valid = valid & (distance <= max_distance)
        return Matching(index.masked_fill(~valid, 0), valid, distance.masked_fill(~valid, 0))

    return result


def _start_hungarian(source: Tensor, target: Tensor) -> Callable[[], tuple[Tensor, Tensor]]:
    clouds = [_to_host(source), _to_host(target)]
    copied = None
    if source.is_cuda:
        copied = torch.cuda.Event()
        copied.record()

    def solve(sample: int) -> np.ndarray:
        if copied is not None:
            copied.synchronize()
        return _hungarian(*(cloud[sample].numpy() for cloud in clouds), sample)

    # A pool of its own: threads of a shared one would be missing in a forked process.
    pool = ThreadPoolExecutor(max_workers=len(source), thread_name_prefix='matching')
    pending = [pool.submit(solve, sample) for sample in range(len(source))]
    pool.shutdown(wait=False)

    def wait() -> tuple[Tensor, Tensor]:
        index = torch.from_numpy(np.stack([future.result() for future in pending]))
        index = index.to(source.device, non_blocking=True)
        return index.clamp(min=0), index >= 0

    return wait


def _to_host(cloud: Tensor) -> Tensor:
    """A copy on the CPU in double precision that does not stop the device's queue."""
    if not cloud.is_cuda:
        return cloud.double()
    host = torch.empty(cloud.shape, dtype=torch.float64, pin_memory=True)
    return host.copy_(cloud.double(), non_blocking=True)


def _hungarian(source: np.ndarray, target: np.ndarray, sample: int) -> np.ndarray:
    """Column of every row in the cheapest assignment, int64 (N,), -1 where none is left."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    cost = cdist(source, target)
    if not np.isfinite(cost).all():
        raise ValueError(f'cloud {sample} to match has a coordinate that is NaN or infinite')
    index = np.full(len(source), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(cost)
    index[rows] = columns
    return index
