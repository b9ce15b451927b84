"""Point operators with the names, signatures and conventions of ``mmcv._ext``.

Outputs are tensors of the caller that get filled. Clouds are (B, N, 3), features (B, C, N),
indices int32. Where mmcv's CUDA kernels break ties in the order of their threads, the lowest index
wins here. Coordinates that are NaN or infinite are refused, as :mod:`mm3dpretrain.ops` does.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ... import ops
from ...ops import _checks
from ...ops import _point_kernels as kernels
from ...ops._cpu import _array, _ranges, _spread


def _jobs(total: int) -> list[tuple[int, int]]:
    return _ranges(total, 4 * torch.get_num_threads())


def _floats(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one dtype that kernels know: float64 if any is, else float32."""
    wide = any(t.dtype == torch.float64 for t in tensors)
    return tuple(t.detach().to(torch.float64 if wide else torch.float32) for t in tensors)


def _target(output: Tensor, dtype: np.dtype) -> np.ndarray:
    """An array for a kernel to write to: the memory of ``output`` itself where that fits."""
    wanted = torch.float64 if dtype == np.float64 else torch.float32
    if output.is_contiguous() and output.dtype == wanted:
        return output.detach().numpy()
    return output.detach().to(wanted, copy=True).contiguous().numpy()


def _deliver(array: np.ndarray, output: Tensor) -> None:
    """Bring what a kernel wrote to ``output``, if it was not written there."""
    source = torch.from_numpy(array)
    if source.data_ptr() != output.data_ptr():
        output.copy_(source.view(output.shape))


def _rows(features: Tensor) -> np.ndarray:
    """(B, C, N) as (B * C, N)."""
    return _array(features).reshape(-1, features.shape[-1])


def _indices(name: str, idx: Tensor, size: int) -> np.ndarray:
    """(B, ...) as contiguous (B, L) int32, all in [0, size)."""
    if idx.numel():
        low, high = (int(v) for v in torch.aminmax(idx))
        if low < 0 or high >= size:
            wrong = low if low < 0 else high
            raise IndexError(f'{name} holds {wrong}, outside [0, {size}) for {size} points')
    return _array(idx.int()).reshape(len(idx), -1)


def furthest_point_sampling_forward(
    points_xyz: Tensor, temp: Tensor, output: Tensor, b: int, n: int, m: int
) -> None:
    """Furthest points from index 0 on into ``output`` (B, m); 0 where m exceeds N.

    ``temp``, scratch of the CUDA kernel, is left alone.
    """
    idx = ops.furthest_point_sample(points_xyz, min(m, n))
    output.zero_()
    output[:, : idx.shape[1]] = idx


def furthest_point_sampling_with_dist_forward(
    points_dist: Tensor, temp: Tensor, output: Tensor, b: int, n: int, m: int
) -> None:
    """As above from given distances (B, N, N); ``temp`` (B, N) holds the start, a large number."""
    (dist,) = _floats(points_dist)
    nearest = temp.to(dist.dtype).contiguous().numpy()
    bits = nearest.view(np.int32 if nearest.itemsize == 4 else np.int64)
    out = np.empty((b, m), np.int32)
    _spread(
        lambda begin, end: kernels.sample_by_distance(_array(dist), nearest, bits, out, begin, end),
        _jobs(b),
        work=b * m * n * 1e-9,
    )
    output.copy_(torch.from_numpy(out))


def _ball_in_stack(
    center: Tensor,
    owner: np.ndarray,
    xyz: Tensor,
    counts: np.ndarray,
    idx: Tensor,
    radii: tuple[float, float],
    none: int,
) -> None:
    """Ball query of (Q, 3) in clouds (N1 + N2 ..., 3) into ``idx`` (Q, K)."""
    center, xyz = _floats(center, xyz)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    dtype = center.numpy().dtype.type
    low, high = (dtype(radius) * dtype(radius) for radius in radii)
    columns = _array(xyz.T)
    query, out = _array(center), np.empty(idx.shape, np.int32)
    _spread(
        lambda begin, end: kernels.ball_in_stack(
            columns, starts, counts, query, owner, low, high, none, out, begin, end
        ),
        _jobs(len(query)),
        work=len(query) * 2e-6,
    )
    idx.copy_(torch.from_numpy(out))


def ball_query_forward(
    center_xyz: Tensor,
    xyz: Tensor,
    idx: Tensor,
    b: int,
    n: int,
    m: int,
    min_radius: float,
    max_radius: float,
    nsample: int,
) -> None:
    """First points with ``min_radius <= d < max_radius`` (or d = 0) into ``idx`` (B, m, nsample).

    Free places repeat the first; all are 0 where there is none.
    """
    if min_radius <= 0:
        found = ops.ball_query(center_xyz, xyz, max_radius, nsample, pad_with_first=True)
        idx.copy_(found)
        return
    _checks.cloud('center_xyz', center_xyz)
    _checks.cloud('xyz', xyz)
    owner, counts = np.repeat(np.arange(b), m), np.full(b, n, np.int64)
    _ball_in_stack(
        center_xyz.reshape(-1, 3),
        owner,
        xyz.reshape(-1, 3),
        counts,
        idx.view(-1, nsample),
        (min_radius, max_radius),
        none=0,
    )


def _counts(name: str, counts: Tensor, total: int) -> np.ndarray:
    values = _array(counts.long())
    if values.sum() != total or (values < 0).any():
        raise ValueError(f'{name} is {values.tolist()}, but the stack has {total} rows')
    return values


def stack_ball_query_forward(
    center_xyz: Tensor,
    center_xyz_batch_cnt: Tensor,
    xyz: Tensor,
    xyz_batch_cnt: Tensor,
    idx: Tensor,
    max_radius: float,
    nsample: int,
) -> None:
    """Ball query of stacked clouds into ``idx`` (M1 + M2 ..., nsample): indices within each cloud.

    Where no point is inside, the first place is -1 and the others are 0.
    """
    center_counts = _counts('center_xyz_batch_cnt', center_xyz_batch_cnt, len(center_xyz))
    counts = _counts('xyz_batch_cnt', xyz_batch_cnt, len(xyz))
    if len(center_xyz) == 0:
        return
    _checks.cloud('center_xyz', center_xyz[None])
    if len(xyz):
        _checks.cloud('xyz', xyz[None])
    owner = np.repeat(np.arange(len(counts)), center_counts)
    _ball_in_stack(center_xyz, owner, xyz, counts, idx, (0.0, max_radius), none=-1)


def _nearest(query: Tensor, points: Tensor, k: int, far: float) -> tuple[Tensor, Tensor]:
    """k nearest, missing ones (k > N) with index 0 and distance ``far``."""
    found = ops.knn(query.detach(), points.detach(), min(k, points.shape[1]))
    missing = (0, k - found.idx.shape[2])
    pad = torch.nn.functional.pad
    return pad(found.dist2, missing, value=far), pad(found.idx, missing)


def knn_forward(
    xyz: Tensor,
    center_xyz: Tensor,
    idx: Tensor,
    dist2: Tensor,
    b: int,
    n: int,
    m: int,
    nsample: int,
) -> None:
    """The ``nsample`` nearest points of each centre and their squared distances, nearest first."""
    dist, found = _nearest(center_xyz, xyz, nsample, 1e10)
    idx.copy_(found)
    dist2.copy_(dist)


def three_nn_forward(
    target: Tensor, source: Tensor, dist2: Tensor, idx: Tensor, b: int, n: int, m: int
) -> None:
    """Three nearest of ``source`` (B, m, 3) for ``target`` (B, n, 3), squared distances."""
    dist, found = _nearest(target, source, 3, float('inf'))
    idx.copy_(found)
    dist2.copy_(dist)


def _take(features: Tensor, indices: Tensor, output: Tensor) -> None:
    (values,) = _floats(features)
    rows, idx = _rows(values), _indices('indices', indices, features.shape[2])
    out = _target(output, rows.dtype).reshape(len(rows), -1)
    channels = features.shape[1]
    _spread(
        lambda begin, end: kernels.take(rows, idx, channels, out, begin, end),
        _jobs(len(rows)),
        work=out.size * 0.5e-9,
    )
    _deliver(out, output)


def _put(grad_out: Tensor, indices: Tensor, grad_features: Tensor) -> None:
    (values,) = _floats(grad_out)
    idx = _indices('indices', indices, grad_features.shape[2])
    rows = _array(values).reshape(-1, idx.shape[1])
    out = _target(grad_features, rows.dtype).reshape(len(rows), -1)
    channels = grad_features.shape[1]
    _spread(
        lambda begin, end: kernels.put(rows, idx, channels, out, begin, end),
        _jobs(len(rows)),
        work=rows.size * 0.5e-9,
    )
    _deliver(out, grad_features)


def gather_points_forward(
    features: Tensor, indices: Tensor, output: Tensor, b: int, c: int, n: int, npoints: int
) -> None:
    """(B, C, N) at (B, M) into ``output`` (B, C, M)."""
    _take(features, indices, output)


def gather_points_backward(
    grad_out: Tensor, indices: Tensor, grad_features: Tensor, b: int, c: int, n: int, npoints: int
) -> None:
    """Add (B, C, M) at (B, M) to ``grad_features`` (B, C, N)."""
    _put(grad_out, indices, grad_features)


def group_points_forward(
    features: Tensor,
    indices: Tensor,
    output: Tensor,
    b: int,
    c: int,
    n: int,
    npoints: int,
    nsample: int,
) -> None:
    """(B, C, N) at (B, M, K) into ``output`` (B, C, M, K)."""
    _take(features, indices, output)


def group_points_backward(
    grad_out: Tensor,
    indices: Tensor,
    grad_features: Tensor,
    b: int,
    c: int,
    n: int,
    npoints: int,
    nsample: int,
) -> None:
    """Add (B, C, M, K) at (B, M, K) to ``grad_features`` (B, C, N)."""
    _put(grad_out, indices, grad_features)


def _stacked_rows(
    indices: Tensor, idx_batch_cnt: Tensor, features_batch_cnt: Tensor, total: int
) -> np.ndarray:
    """Indices within each cloud (M, K) as rows of the stack of clouds."""
    counts = _counts('features_batch_cnt', features_batch_cnt, total)
    owner_counts = _counts('indices_batch_cnt', idx_batch_cnt, len(indices))
    owner = np.repeat(np.arange(len(counts)), owner_counts)
    idx = _array(indices.long())
    wrong = (idx < 0) | (idx >= counts[owner][:, None])
    if wrong.any():
        m, k = np.argwhere(wrong)[0]
        raise IndexError(
            f'indices[{m}, {k}] = {idx[m, k]} is outside its cloud of {counts[owner[m]]} points'
        )
    return idx + (np.cumsum(counts) - counts)[owner][:, None]


def stack_group_points_forward(
    features: Tensor,
    features_batch_cnt: Tensor,
    indices: Tensor,
    indices_batch_cnt: Tensor,
    output: Tensor,
    b: int,
    m: int,
    c: int,
    nsample: int,
) -> None:
    """Stacked (N1 + N2 ..., C) at (M1 + M2 ..., K) into ``output`` (M1 + M2 ..., C, K)."""
    (values,) = _floats(features)
    rows = _stacked_rows(indices, indices_batch_cnt, features_batch_cnt, len(features))
    source = _array(values)
    out = _target(output, source.dtype)
    _spread(
        lambda begin, end: kernels.take_stacked(source, rows, out, begin, end),
        _jobs(len(rows)),
        work=out.size * 1e-9,
    )
    _deliver(out, output)


def stack_group_points_backward(
    grad_out: Tensor,
    indices: Tensor,
    indices_batch_cnt: Tensor,
    features_batch_cnt: Tensor,
    grad_features: Tensor,
    b: int,
    c: int,
    m: int,
    n: int,
    nsample: int,
) -> None:
    """Add (M1 + M2 ..., C, K) to the rows of ``grad_features`` (N1 + N2 ..., C)."""
    (values,) = _floats(grad_out)
    rows = _stacked_rows(indices, indices_batch_cnt, features_batch_cnt, len(grad_features))
    grad = _array(values)
    out = _target(grad_features, grad.dtype)
    _spread(
        lambda begin, end: kernels.put_stacked(grad, rows, out, begin, end),
        _ranges(c, torch.get_num_threads()),
        work=grad.size * 1e-9,
    )
    _deliver(out, grad_features)


def three_interpolate_forward(
    features: Tensor,
    indices: Tensor,
    weight: Tensor,
    output: Tensor,
    b: int,
    c: int,
    m: int,
    n: int,
) -> None:
    """Weighted sums of three of (B, C, m) into ``output`` (B, C, n)."""
    values, weights = _floats(features, weight)
    idx = _indices('indices', indices, m).reshape(b, -1, 3)
    rows, w = _rows(values), _array(weights)
    out = _target(output, rows.dtype).reshape(len(rows), n)
    _spread(
        lambda begin, end: kernels.interpolate(rows, idx, w, c, out, begin, end),
        _jobs(len(rows)),
        work=out.size * 2e-9,
    )
    _deliver(out, output)


def three_interpolate_backward(
    grad_out: Tensor,
    indices: Tensor,
    weight: Tensor,
    grad_features: Tensor,
    b: int,
    c: int,
    n: int,
    m: int,
) -> None:
    """Add the gradient of (B, C, n) to ``grad_features`` (B, C, m); the weights get none."""
    values, weights = _floats(grad_out, weight)
    idx = _indices('indices', indices, m).reshape(b, -1, 3)
    rows, w = _rows(values), _array(weights)
    out = _target(grad_features, rows.dtype).reshape(len(rows), m)
    _spread(
        lambda begin, end: kernels.interpolate_back(rows, idx, w, c, out, begin, end),
        _jobs(len(rows)),
        work=rows.size * 2e-9,
    )
    _deliver(out, grad_features)
