"""Which kernels the point operators use.

One setting, :func:`set_backend` or the environment variable ``MM3D_OPS``::

    auto       CPU: the package's own kernels. CUDA: mmcv.ops where it was built with CUDA,
               plain PyTorch otherwise.
    mmcv       as auto, but an error where mmcv.ops cannot be used on a CUDA tensor
    pointnet2  as auto, with pointnet2_ops' kernels on CUDA; what it lacks comes from mmcv.ops
    torch      plain PyTorch on every device

The adapters below are the only place that knows how the two libraries name and order arguments.
"""

from __future__ import annotations

import functools
import importlib
import os

import torch
from torch import Tensor

from ._checks import choice

BACKENDS = ('auto', 'mmcv', 'pointnet2', 'torch')
_chosen: str | None = None


def set_backend(name: str) -> None:
    """Choose the kernels for this process.

    Args:
        name (str): 'auto', 'mmcv', 'pointnet2' or 'torch'; see the module's docstring.

    Raises:
        ValueError: another name.
        ImportError: the library is not installed.
    """
    global _chosen
    choice('backend', name, BACKENDS)
    if name in ('mmcv', 'pointnet2'):
        _required(name)
    _chosen = name


def get_backend() -> str:
    """Name of the chosen backend, 'auto' unless set."""
    if _chosen is not None:
        return _chosen
    name = os.environ.get('MM3D_OPS', 'auto')
    choice('environment variable MM3D_OPS', name, BACKENDS)
    return name


class MMCVKernels:
    """``mmcv.ops``: batches first, float32, contiguous; features (B, C, N), indices int32."""

    def __init__(self, ops) -> None:
        self.ops = ops

    def furthest_point_sample(self, xyz: Tensor, num_points: int) -> Tensor:
        """(B, N, 3) -> (B, num_points), starting at index 0."""
        return self.ops.furthest_point_sample(xyz, num_points)

    def knn(self, query: Tensor, points: Tensor, k: int) -> Tensor:
        """(B, M, 3), (B, N, 3) -> (B, M, k), k < 100."""
        return self.ops.knn(k, points, query, False).transpose(1, 2)

    def ball_query(self, query: Tensor, points: Tensor, radius: float, num: int) -> Tensor:
        """(B, M, 3), (B, N, 3) -> (B, M, num), padded with the first hit, 0 where none."""
        return self.ops.ball_query(0.0, radius, num, points, query)

    def gather_points(self, features: Tensor, idx: Tensor) -> Tensor:
        """(B, C, N), (B, M) -> (B, C, M)."""
        return self.ops.gather_points(features, idx)

    def group_points(self, features: Tensor, idx: Tensor) -> Tensor:
        """(B, C, N), (B, M, K) -> (B, C, M, K)."""
        return self.ops.grouping_operation(features, idx)

    def three_nn(self, query: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, 3), (B, N, 3) -> Euclidean distance and index, (B, M, 3) each."""
        return self.ops.three_nn(query, points)

    def three_interpolate(self, features: Tensor, idx: Tensor, weight: Tensor) -> Tensor:
        """(B, C, N), (B, M, 3), (B, M, 3) -> (B, C, M); no gradient for the weight."""
        return self.ops.three_interpolate(features, idx, weight)


class PointNet2Kernels:
    """``pointnet2_ops.pointnet2_utils``; same layouts as mmcv, no kNN.

    Its furthest point sampling ignores points near the origin, so it is only used where that is
    asked for.
    """

    def __init__(self, utils) -> None:
        self.utils = utils

    def furthest_point_sample_skip_origin(self, xyz: Tensor, num_points: int) -> Tensor:
        """(B, N, 3) -> (B, num_points), starting at index 0, ignoring |p|^2 <= 1e-3."""
        return self.utils.furthest_point_sample(xyz, num_points)

    def ball_query(self, query: Tensor, points: Tensor, radius: float, num: int) -> Tensor:
        """(B, M, 3), (B, N, 3) -> (B, M, num), padded with the first hit, 0 where none."""
        return self.utils.ball_query(radius, num, points, query)

    def gather_points(self, features: Tensor, idx: Tensor) -> Tensor:
        """(B, C, N), (B, M) -> (B, C, M)."""
        return self.utils.gather_operation(features, idx)

    def group_points(self, features: Tensor, idx: Tensor) -> Tensor:
        """(B, C, N), (B, M, K) -> (B, C, M, K)."""
        return self.utils.grouping_operation(features, idx)

    def three_nn(self, query: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, 3), (B, N, 3) -> Euclidean distance and index, (B, M, 3) each."""
        return self.utils.three_nn(query, points)

    def three_interpolate(self, features: Tensor, idx: Tensor, weight: Tensor) -> Tensor:
        """(B, C, N), (B, M, 3), (B, M, 3) -> (B, C, M); no gradient for the weight."""
        return self.utils.three_interpolate(features, idx, weight)


@functools.cache
def _load(name: str) -> MMCVKernels | PointNet2Kernels | Exception:
    """Adapter of a library, or the reason why there is none."""
    try:
        if name == 'mmcv':
            return MMCVKernels(importlib.import_module('mmcv.ops'))
        return PointNet2Kernels(importlib.import_module('pointnet2_ops.pointnet2_utils'))
    except Exception as error:  # a broken extension raises anything
        return error


def _required(name: str) -> MMCVKernels | PointNet2Kernels:
    kernels = _load(name)
    if isinstance(kernels, Exception):
        package = {'mmcv': 'mmcv (with its ops)', 'pointnet2': 'pointnet2_ops'}[name]
        raise ImportError(
            f"ops backend '{name}' needs {package}, which cannot be imported: {kernels}. "
            "Install it, or use mm3dpretrain.ops.set_backend('auto')"
        ) from kernels
    return kernels


def _built_with_cuda(kernels: MMCVKernels | PointNet2Kernels | Exception) -> bool:
    return (
        isinstance(kernels, MMCVKernels)
        and kernels.ops.get_compiling_cuda_version() != 'not available'
    )


def use_own_kernels(tensor: Tensor) -> bool:
    """Whether the package's CPU kernels serve this tensor."""
    return tensor.device.type == 'cpu' and get_backend() != 'torch'


def cuda_kernels(operator: str, *tensors: Tensor) -> MMCVKernels | PointNet2Kernels | None:
    """Adapter with a CUDA kernel for an operator, or None where PyTorch has to do.

    Args:
        operator (str): method name of the adapters.
        *tensors (Tensor): floating-point inputs; all must be float32 CUDA tensors.

    Raises:
        ImportError: the backend was chosen by name and is missing.
    """
    if not all(t.is_cuda and t.dtype == torch.float32 for t in tensors):
        return None
    name = get_backend()
    if name == 'torch':
        return None
    if name == 'pointnet2' and hasattr(PointNet2Kernels, operator):
        return _required('pointnet2')
    if not hasattr(MMCVKernels, operator):
        return None
    kernels = _required('mmcv') if name == 'mmcv' else _load('mmcv')
    if _built_with_cuda(kernels):
        return kernels
    if name == 'mmcv':
        raise ImportError(
            "ops backend 'mmcv' was chosen, but this mmcv was built without CUDA; install one "
            "that was, or use mm3dpretrain.ops.set_backend('auto')"
        )
    return None
