"""spconv's CPU build (2.3.8) trains and predicts, and every time the same.

``spconv.pytorch.ops.indice_conv_backward`` asks for the current CUDA stream before it looks at the
tensors' device. Without CUDA there is no stream; the CPU branch never uses the value.

``SpconvOps.scatter_add_cpu`` runs on several threads, which all move the same two pointers: with
more than one OpenMP thread every sparse convolution comes out wrong, another way in each call.
"""

from __future__ import annotations

import functools
import math
from types import ModuleType

import torch

from .cpu_switch import serves
from .optional import require


def mend_stream(module: ModuleType) -> None:
    """Let ``get_current_stream`` answer 0 where there is no CUDA device.

    Args:
        module: ``spconv.pytorch.ops``, imported.
    """
    original = module.get_current_stream
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def get_current_stream() -> int:
        return original() if torch.cuda.is_available() else 0

    get_current_stream.mended = True
    module.get_current_stream = get_current_stream


def mend_scatter(module: ModuleType) -> None:
    """Add the products of a kernel's slice to the output rows without spconv's race.

    Args:
        module: ``spconv.pytorch.ops``, imported.
    """
    operators = module.SpconvOps
    if getattr(operators.scatter_add_cpu, 'mended', False):
        return

    def scatter_add_cpu(out, buffer, rows) -> None:
        # int64 rows: with int32 `index_add_` takes a path that is five times as slow
        rows = torch.from_numpy(rows.numpy_view()).long()
        added = torch.from_numpy(buffer.numpy_view())[: len(rows)]
        torch.from_numpy(out.numpy_view()).index_add_(0, rows, added)

    scatter_add_cpu.mended = True
    operators.scatter_add_cpu = staticmethod(scatter_add_cpu)


def mend_bias(module: ModuleType) -> None:
    """Add the bias after the convolution: in evaluation spconv's layers leave it to a kernel that
    knows none on the CPU.

    Args:
        module: ``spconv.pytorch.ops``, imported.
    """
    original = module.indice_conv
    if getattr(original, 'mended', False):
        return

    @functools.wraps(original)
    def indice_conv(features, *args, bias=None, **kwargs):
        if bias is None or not serves(features):
            return original(features, *args, bias=bias, **kwargs)
        return original(features, *args, bias=None, **kwargs) + bias

    indice_conv.mended = True
    module.indice_conv = indice_conv


def mend_features(module: ModuleType) -> None:
    """Let the features of a sparse tensor on the CPU be assigned, as mmcv's tensors allow.

    mmdet3d's Cylinder3D does that with the outputs of its layers, which are its own objects.

    Args:
        module: ``spconv.pytorch.core``, imported.
    """
    tensor = module.SparseConvTensor
    original = tensor.features
    if getattr(original.fset, 'mended', False):
        return

    def assign(self, features: torch.Tensor) -> None:
        if not serves(features):
            original.fset(self, features)
            return
        if len(features) != len(self.indices):
            raise ValueError(
                f'{len(features)} rows of features for {len(self.indices)} voxels of the tensor'
            )
        self._features = features

    assign.mended = True
    tensor.features = property(original.fget, assign, original.fdel, original.__doc__)


@functools.cache
def submanifold_like_mmcv() -> type[torch.nn.Module]:
    """spconv's ``SubMConv3d`` with mmcv's rule for layers that share an ``indice_key``.

    mmcv takes the neighbourhood of the first layer with a key for all of them, whatever their
    kernel size: with K neighbours, the first K slices of a larger kernel are used, in order.
    spconv refuses that. Cylinder3D's layers share keys over kernels (1, 3, 3), (3, 1, 3) and
    (3, 3, 3), and its checkpoints were trained that way.

    Raises:
        ImportError: spconv is missing.
    """
    spconv = require('spconv.pytorch', extra='sparse', why='sparse convolution without CUDA')
    functional = require('spconv.pytorch.functional', extra='sparse')

    class SubMConv3d(spconv.SubMConv3d):
        def forward(self, input):
            known = input.find_indice_pair(self.indice_key)
            if known is None or known.ksize == self.kernel_size:
                return super().forward(input)
            slices = self.weight.flatten(1, 3)
            neighbours = math.prod(known.ksize)
            if neighbours > slices.shape[1]:
                raise ValueError(
                    f'indice_key {self.indice_key!r} holds {neighbours} neighbours, '
                    f'a kernel of size {self.kernel_size} has no weights for them'
                )
            weight = slices[:, :neighbours].unflatten(1, known.ksize).contiguous()
            out = functional.indice_subm_conv(
                input.features,
                weight,
                known.indice_pairs,
                known.indice_pair_num,
                len(known.out_indices),
                spconv.ConvAlgo.Native,
            )
            return input.replace_feature(out if self.bias is None else out + self.bias)

    return SubMConv3d
