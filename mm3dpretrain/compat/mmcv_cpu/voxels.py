"""Dynamic scatter with the names and signatures of ``mmcv._ext``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...ops import _voxel_kernels as kernels
from ...ops._cpu import _array, _ranges, _spread

KINDS = {'sum': kernels.SUM, 'mean': kernels.MEAN, 'max': kernels.MAX}


def _kind(reduce_type: str) -> int:
    if reduce_type not in KINDS:
        raise ValueError(f'reduce type must be one of {", ".join(KINDS)}, got {reduce_type!r}')
    return KINDS[reduce_type]


def _floats(features: Tensor) -> np.ndarray:
    features = features.detach()
    return _array(features if features.dtype == torch.float64 else features.float())


def _voxels_of(coors: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort points into voxels.

    Args:
        coors: (N, D) integers; points with a negative one belong to no voxel.

    Returns:
        Valid points ordered by voxel, where each voxel starts in that order (V + 1,), and the
        voxel of each point (N,) int32, -1 for none. Voxels ascend by coordinates.

    Raises:
        ValueError: The grid is too large for 62-bit numbers.
    """
    high = np.empty(coors.shape[1], np.int64)
    valid = kernels.limits(coors, high)
    cells = 1
    for extent in high.tolist():
        cells *= extent + 1
    if cells >= 1 << 62:
        raise ValueError(f'voxel coordinates up to {high.tolist()} are too large to be numbered')
    order, keys = np.empty(valid, np.int32), np.empty(valid, np.uint64)
    kernels.sort_points(coors, high, valid, order, keys)
    voxel_of, starts = np.full(len(coors), -1, np.int32), np.empty(valid + 1, np.int64)
    voxels = kernels.number_voxels(order, keys, voxel_of, starts)
    return order, starts[: voxels + 1], voxel_of


def dynamic_point_to_voxel_forward(
    feats: Tensor, coors: Tensor, reduce_type: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reduce points to voxels.

    Args:
        feats: (N, C).
        coors: (N, D) integers; a row with a negative one is left out.
        reduce_type: ``'max'``, ``'mean'`` or ``'sum'``.

    Returns:
        Features (V, C), coordinates (V, D) in ascending order, voxel of each point (N,) int32
        with -1 for none, points in each voxel (V,) int32.

    Raises:
        ValueError: Another reduce type, or ``feats`` and ``coors`` that do not fit.
    """
    kind = _kind(reduce_type)
    if feats.dim() != 2 or coors.dim() != 2 or len(feats) != len(coors):
        raise ValueError(
            'feats must be (N, C) and coors (N, D), '
            f'got {tuple(feats.shape)} and {tuple(coors.shape)}'
        )
    if len(feats) == 0:
        empty = coors.new_empty(0, dtype=torch.int32)
        return feats.detach().clone(), coors.clone(), empty, empty.clone()
    places = _array(coors)
    order, starts, voxel_of = _voxels_of(places)
    values = _floats(feats)
    out = np.empty((len(starts) - 1, values.shape[1]), values.dtype)
    _spread(
        lambda begin, end: kernels.reduce(values, order, starts, kind, out, begin, end),
        _ranges(len(out), 4 * torch.get_num_threads()),
        work=values.size * 1e-9,
    )
    return (
        torch.from_numpy(out).to(feats.dtype),
        torch.from_numpy(places[order[starts[:-1]]]),
        torch.from_numpy(voxel_of),
        torch.from_numpy(np.diff(starts).astype(np.int32)),
    )


def dynamic_point_to_voxel_backward(
    grad_feats: Tensor,
    grad_voxel_feats: Tensor,
    feats: Tensor,
    voxel_feats: Tensor,
    point2voxel_map: Tensor,
    voxel_points_count: Tensor,
    reduce_type: str,
) -> None:
    """Fill ``grad_feats`` (N, C); of equal maxima the point with the lowest index gets all."""
    kind = _kind(reduce_type)
    grad_feats.zero_()
    if len(feats) == 0 or len(voxel_feats) == 0:
        return
    grad, voxel_of = _floats(grad_voxel_feats), _array(point2voxel_map)
    direct = grad_feats.is_contiguous() and grad_feats.dtype in (torch.float32, torch.float64)
    direct = direct and grad_feats.numpy().dtype == grad.dtype
    out = grad_feats.numpy() if direct else np.zeros(feats.shape, grad.dtype)
    threads = torch.get_num_threads()
    if kind == kernels.MAX:
        values, reduced = _floats(feats), _floats(voxel_feats)
        first = np.full(reduced.shape, len(values), np.int32)
        _spread(
            lambda begin, end: kernels.maximum_back(
                grad, values, reduced, voxel_of, first, out, begin, end
            ),
            _ranges(out.shape[1], threads),
            work=out.size * 0.5e-9,
        )
    else:
        counts = _array(voxel_points_count).astype(grad.dtype)
        _spread(
            lambda begin, end: kernels.spread_back(grad, voxel_of, counts, kind, out, begin, end),
            _ranges(len(out), 4 * threads),
            work=out.size * 0.3e-9,
        )
    if not direct:
        grad_feats.copy_(torch.from_numpy(out))
