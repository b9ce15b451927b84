"""The backend setting, and the adapters of mmcv.ops and pointnet2_ops without a GPU.

Stand-ins check what the libraries' CUDA code relies on (recorded from mmcv 2.1 and from
erikwijmans/Pointnet2_PyTorch): the order of arguments, layouts, contiguity, float32 and int32, the
limits on k, and positional arguments only, as ``torch.autograd.Function.apply`` takes them. They
compute with the naive twins, so that results can be compared too.
"""

from __future__ import annotations

import sys
import types

import pytest
import torch
from torch import Tensor

from mm3dpretrain import ops
from mm3dpretrain.ops import _cuda, _torch, backend, naive


@pytest.fixture(autouse=True)
def _fresh_setting(monkeypatch):
    monkeypatch.delenv('MM3D_OPS', raising=False)
    monkeypatch.setattr(backend, '_chosen', None)
    backend._load.cache_clear()
    yield
    backend._load.cache_clear()


def check(tensor: Tensor, dtype, *shape: int | None) -> None:
    """A contiguous tensor of a type and shape (None: any size)."""
    assert tensor.dtype == dtype and tensor.is_contiguous()
    assert tensor.dim() == len(shape)
    assert all(want in (None, size) for want, size in zip(shape, tensor.shape))


def first_hits(radius: float, num: int, points: Tensor, query: Tensor) -> Tensor:
    check(points, torch.float32, None, None, 3)
    check(query, torch.float32, len(points), None, 3)
    return naive.ball_query(query, points, radius, num, pad_with_first=True).int()


def gather(features: Tensor, idx: Tensor) -> Tensor:
    check(features, torch.float32, None, None, None)
    check(idx, torch.int32, len(features), None)
    assert idx.min() >= 0 and idx.max() < features.shape[2]
    return naive.gather_points(features.transpose(1, 2), idx.long()).transpose(1, 2).contiguous()


def group(features: Tensor, idx: Tensor) -> Tensor:
    check(features, torch.float32, None, None, None)
    check(idx, torch.int32, len(features), None, None)
    assert idx.min() >= 0 and idx.max() < features.shape[2]
    rows = naive.group_points(features.transpose(1, 2), idx.long())
    return rows.permute(0, 3, 1, 2).contiguous()


def three_nn(query: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    check(query, torch.float32, None, None, 3)
    check(points, torch.float32, len(query), None, 3)
    dist, idx = naive.three_nn(query, points)
    return dist, idx.int()


def three_interpolate(features: Tensor, idx: Tensor, weight: Tensor) -> Tensor:
    check(features, torch.float32, None, None, None)
    check(idx, torch.int32, len(features), None, 3)
    check(weight, torch.float32, *idx.shape)
    out = naive.three_interpolate(features.transpose(1, 2), idx.long(), weight)
    return out.transpose(1, 2).contiguous()


def fake_mmcv() -> types.ModuleType:
    """``mmcv.ops`` with the signatures of mmcv 2.1.0."""
    module = types.ModuleType('mmcv.ops')

    def furthest_point_sample(points_xyz, num_points):
        check(points_xyz, torch.float32, None, None, 3)
        assert isinstance(num_points, int)
        return naive.furthest_point_sample(points_xyz, num_points).int()

    def knn(k, xyz, center_xyz=None, transposed=False):
        assert isinstance(k, int) and 0 < k < 100 and transposed is False
        check(xyz, torch.float32, None, None, 3)
        check(center_xyz, torch.float32, len(xyz), None, 3)
        return naive.knn(center_xyz, xyz, k)[1].int().transpose(2, 1).contiguous()

    def ball_query(min_radius, max_radius, sample_num, xyz, center_xyz, *counts):
        assert isinstance(min_radius, float) and min_radius < max_radius and not counts
        assert min_radius == 0
        return first_hits(max_radius, sample_num, xyz, center_xyz)

    module.furthest_point_sample, module.knn, module.ball_query = (
        furthest_point_sample,
        knn,
        ball_query,
    )
    module.gather_points, module.grouping_operation = gather, group
    module.three_nn, module.three_interpolate = three_nn, three_interpolate
    module.get_compiling_cuda_version = lambda: '12.1'
    return module


def fake_pointnet2() -> types.ModuleType:
    """``pointnet2_ops.pointnet2_utils``; its sampling ignores points near the origin."""
    module = types.ModuleType('pointnet2_ops.pointnet2_utils')

    def furthest_point_sample(xyz, npoint):
        check(xyz, torch.float32, None, None, 3)
        assert isinstance(npoint, int)
        return naive.furthest_point_sample(xyz, npoint, skip_origin=True).int()

    module.furthest_point_sample = furthest_point_sample
    module.ball_query = lambda radius, nsample, xyz, new_xyz: first_hits(
        radius, nsample, xyz, new_xyz
    )
    module.gather_operation, module.grouping_operation = gather, group
    module.three_nn, module.three_interpolate = three_nn, three_interpolate
    return module


ADAPTERS = {
    'mmcv': backend.MMCVKernels(fake_mmcv()),
    'pointnet2': backend.PointNet2Kernels(fake_pointnet2()),
}
BOTH = pytest.mark.parametrize('name', ['mmcv', 'pointnet2'])


def test_stand_ins_have_the_signatures_of_the_installed_mmcv():
    """What is recorded here still holds for the mmcv that is installed."""
    real = pytest.importorskip('mmcv.ops')
    import inspect

    fake = fake_mmcv()
    classes = dict(
        furthest_point_sample='FurthestPointSampling', knn='KNN', ball_query='BallQuery',
        gather_points='GatherPoints', grouping_operation='GroupingOperation',
        three_nn='ThreeNN', three_interpolate='ThreeInterpolate',
    )  # fmt: skip
    expected = dict(
        furthest_point_sample=['points_xyz', 'num_points'],
        knn=['k', 'xyz', 'center_xyz', 'transposed'],
        ball_query=['min_radius', 'max_radius', 'sample_num', 'xyz', 'center_xyz',
                    'xyz_batch_cnt', 'center_xyz_batch_cnt'],
        gather_points=['features', 'indices'],
        grouping_operation=['features', 'indices', 'features_batch_cnt', 'indices_batch_cnt'],
        three_nn=['target', 'source'],
        three_interpolate=['features', 'indices', 'weight'],
    )  # fmt: skip
    for function, class_name in classes.items():
        assert hasattr(fake, function)
        function_class = getattr(real, function).__self__
        assert function_class.__name__ == class_name
        names = list(inspect.signature(function_class.forward).parameters)[1:]
        assert names == expected[function], function
    assert isinstance(real.get_compiling_cuda_version(), str)


@pytest.mark.parametrize('skip_origin', [False, True])
@BOTH
def test_furthest_point_sample(name, skip_origin):
    if name == 'pointnet2' and not skip_origin:
        assert not hasattr(ADAPTERS[name], 'furthest_point_sample')  # its kernel always skips
        return
    xyz = torch.randn(3, 90, 3)
    xyz[:, 1::7] *= 1e-3
    for lengths in (None, torch.tensor([90, 33, 4])):
        for start in (torch.tensor(0), torch.tensor([2, 0, 3])):
            arguments = (xyz, 30, lengths, start, skip_origin)
            result = _cuda.furthest_point_sample(ADAPTERS[name], *arguments)
            assert result.dtype == torch.int64
            expected = naive.furthest_point_sample(*arguments)
            # Where the allowed points are used up, any may be repeated.
            for b in range(3):
                row = expected[b].tolist()
                new = next((i for i, v in enumerate(row) if v in row[:i]), len(row))
                assert result[b, :new].tolist() == row[:new]
                assert ((result[b] == -1) == (expected[b] == -1)).all()


def test_knn():
    query, points = torch.randn(2, 20, 3), torch.randn(2, 30, 3)
    for lengths in ((None, None), (torch.tensor([20, 7]), torch.tensor([30, 4]))):
        result = _cuda.knn(ADAPTERS['mmcv'], query, points, 6, *lengths)
        expected = naive.knn(query, points, 6, *lengths)
        assert torch.equal(result[1], expected[1]) and result[1].dtype == torch.int64
        torch.testing.assert_close(result[0], expected[0])
    assert not hasattr(ADAPTERS['pointnet2'], 'knn')


@pytest.mark.parametrize('first', [False, True])
@BOTH
def test_ball_query(name, first):
    points = torch.randn(2, 60, 3)
    query = torch.cat([points[:, :5], torch.randn(2, 15, 3), torch.full((2, 2, 3), 9.0)], 1)
    for lengths in ((None, None), (torch.tensor([22, 7]), torch.tensor([60, 3]))):
        result = _cuda.ball_query(ADAPTERS[name], query, points, 0.7, 5, *lengths, first)
        expected = naive.ball_query(query, points, 0.7, 5, *lengths, pad_with_first=first)
        assert torch.equal(result, expected)


@BOTH
def test_gather_and_interpolate(name):
    features = torch.randn(2, 30, 4)
    idx = torch.randint(0, 30, (2, 8, 3))
    result = _cuda.gather(ADAPTERS[name], features, idx)
    assert torch.equal(result, naive.group_points(features, idx))
    result = _cuda.gather(ADAPTERS[name], features, idx[..., 0])
    assert torch.equal(result, naive.gather_points(features, idx[..., 0]))
    weight = torch.rand(2, 8, 3)
    torch.testing.assert_close(
        _cuda.three_interpolate(ADAPTERS[name], features, idx, weight),
        naive.three_interpolate(features, idx, weight),
    )


@BOTH
def test_three_nn(name):
    query, points = torch.randn(2, 20, 3), torch.randn(2, 30, 3)
    for lengths in ((None, None), (torch.tensor([20, 7]), torch.tensor([30, 2]))):
        dist, idx = _cuda.three_nn(ADAPTERS[name], query, points, *lengths)
        expected = naive.three_nn(query, points, *lengths)
        assert torch.equal(idx, expected[1]) and torch.equal(dist, expected[0])


class OnCuda:
    """Looks like a CUDA tensor to the choice of kernels."""

    is_cuda = True
    dtype = torch.float32


def install(monkeypatch, mmcv=None, pointnet2=None) -> None:
    """Make the libraries importable, or (None) not."""
    monkeypatch.setitem(sys.modules, 'mmcv.ops', mmcv)
    parent = types.ModuleType('pointnet2_ops') if pointnet2 else None
    monkeypatch.setitem(sys.modules, 'pointnet2_ops', parent)
    monkeypatch.setitem(sys.modules, 'pointnet2_ops.pointnet2_utils', pointnet2)
    if mmcv:
        monkeypatch.setitem(sys.modules, 'mmcv', types.ModuleType('mmcv'))
    backend._load.cache_clear()


def test_choice_of_cuda_kernels(monkeypatch):
    def chosen(operator: str) -> str | None:
        kernels = backend.cuda_kernels(operator, OnCuda())
        return kernels and type(kernels).__name__

    install(monkeypatch, fake_mmcv(), fake_pointnet2())
    assert ops.get_backend() == 'auto'
    assert chosen('knn') == chosen('group_points') == 'MMCVKernels'
    assert chosen('furthest_point_sample_skip_origin') is None
    ops.set_backend('pointnet2')
    assert chosen('group_points') == 'PointNet2Kernels'
    assert chosen('furthest_point_sample_skip_origin') == 'PointNet2Kernels'
    # What pointnet2_ops lacks comes from mmcv: kNN, and sampling that takes every point.
    assert chosen('knn') == chosen('furthest_point_sample') == 'MMCVKernels'
    ops.set_backend('torch')
    assert chosen('knn') is None and not backend.use_own_kernels(torch.zeros(1))
    install(monkeypatch, None, fake_pointnet2())
    ops.set_backend('pointnet2')
    assert chosen('knn') is None and chosen('three_nn') == 'PointNet2Kernels'
    ops.set_backend('auto')
    assert chosen('knn') is None

    OnCuda.dtype, before = torch.float64, OnCuda.dtype
    try:
        ops.set_backend('pointnet2')
        assert chosen('three_nn') is None  # the kernels know float32 only
    finally:
        OnCuda.dtype = before
    assert backend.cuda_kernels('knn', torch.zeros(1)) is None


def test_mmcv_without_cuda_kernels(monkeypatch):
    mmcv = fake_mmcv()
    mmcv.get_compiling_cuda_version = lambda: 'not available'
    install(monkeypatch, mmcv)
    assert backend.cuda_kernels('knn', OnCuda()) is None
    ops.set_backend('mmcv')
    with pytest.raises(ImportError, match='built without CUDA'):
        backend.cuda_kernels('knn', OnCuda())


def test_missing_library_is_named(monkeypatch):
    install(monkeypatch)
    with pytest.raises(ImportError, match=r"backend 'mmcv' needs mmcv \(with its ops\)"):
        ops.set_backend('mmcv')
    with pytest.raises(ImportError, match="backend 'pointnet2' needs pointnet2_ops"):
        ops.set_backend('pointnet2')
    assert ops.get_backend() == 'auto'


def test_environment_variable(monkeypatch):
    monkeypatch.setenv('MM3D_OPS', 'torch')
    assert ops.get_backend() == 'torch'
    monkeypatch.setenv('MM3D_OPS', 'cuda')
    with pytest.raises(ValueError, match='environment variable MM3D_OPS must be one of'):
        ops.get_backend()
    with pytest.raises(ValueError, match="backend must be one of .* got 'numba'"):
        ops.set_backend('numba')


def test_plain_pytorch_equals_own_kernels(monkeypatch):
    """Every operator, on the way that other devices take; chunks as small as they get."""
    xyz, query = torch.randn(2, 200, 3), torch.randn(2, 50, 3)
    lengths, query_lengths = torch.tensor([200, 70]), torch.tensor([50, 20])

    def results():
        for lens in ((None, None), (query_lengths, lengths)):
            for norm in (1, 2):
                yield from ops.knn(query, xyz, 9, *lens, norm)
            for inclusive in (False, True):
                for first in (False, True):
                    for num in (4, 250):
                        yield ops.ball_query(query, xyz, 0.5, num, *lens, inclusive, first)
            yield from ops.three_nn(query, xyz, *lens)
            yield ops.chamfer_distance(query, xyz, *lens)
        yield ops.furthest_point_sample(xyz, 80, lengths)

    own = list(results())
    ops.set_backend('torch')
    for chunk in (1 << 24, 1000):
        monkeypatch.setattr(_torch, 'CHUNK', chunk)
        for a, b in zip(results(), own):
            assert torch.equal(a, b)


@BOTH
def test_public_functions_through_the_adapters(monkeypatch, name):
    """The whole way of a CUDA tensor, with -1 padding and gradients, but for the device."""
    library = ADAPTERS[name]

    def kernels(operator, *tensors):
        assert all(t.dtype == torch.float32 for t in tensors)
        return library if hasattr(library, operator) else None

    monkeypatch.setattr(backend, 'cuda_kernels', kernels)
    monkeypatch.setattr(backend, 'use_own_kernels', lambda tensor: False)
    xyz, query = torch.randn(2, 60, 3), torch.randn(2, 20, 3)
    lengths = torch.tensor([60, 9])
    idx = ops.furthest_point_sample(xyz, 12, lengths)
    assert torch.equal(idx, naive.furthest_point_sample(xyz, 12, lengths))
    near = ops.knn(query, xyz, 5, lengths=lengths).idx
    assert torch.equal(near, naive.knn(query, xyz, 5, lengths=lengths)[1])
    inside = ops.ball_query(query, xyz, 0.5, 6, lengths=lengths)
    assert torch.equal(inside, naive.ball_query(query, xyz, 0.5, 6, lengths=lengths))
    assert (inside == -1).any()
    assert torch.equal(ops.three_nn(query, xyz)[1], naive.three_nn(query, xyz)[1])
    weight = torch.rand(2, 20, 3)
    for function, arguments in (
        ('gather_points', (idx,)),
        ('group_points', (inside,)),
        ('three_interpolate', (near[..., :3], weight)),
        ('three_interpolate', (near[..., :3], weight.requires_grad_())),
        ('three_interpolate', (inside[..., :3], weight.detach())),
    ):
        results = []
        for module in (ops, naive):
            features = torch.arange(60.0 * 2 * 4).view(2, 60, 4).requires_grad_()
            out = getattr(module, function)(features, *arguments)
            out.sum().backward()
            results.append((out, features.grad))
        torch.testing.assert_close(*results)


@pytest.mark.gpu
@pytest.mark.parametrize('name', ['auto', 'pointnet2', 'torch'])
def test_cuda_equals_naive_twin(name):
    """On random clouds, where rounding decides nothing."""
    try:
        ops.set_backend(name)
    except ImportError as error:
        pytest.skip(str(error))
    xyz, query = torch.randn(2, 800, 3).cuda(), torch.randn(2, 90, 3).cuda()
    lengths, query_lengths = torch.tensor([800, 300]).cuda(), torch.tensor([90, 40]).cuda()
    features = torch.randn(2, 800, 16).cuda()
    for lens in ((None, None), (query_lengths, lengths)):
        for skip in (False, True):
            call = (xyz, 64, lens[1], 3, skip)
            assert torch.equal(ops.furthest_point_sample(*call), naive.furthest_point_sample(*call))
        for norm in (1, 2):
            dist, idx = ops.knn(query, xyz, 20, *lens, norm)
            expected = naive.knn(query, xyz, 20, *lens, norm)
            assert torch.equal(idx, expected[1])
            torch.testing.assert_close(dist, expected[0])
        for first in (False, True):
            call = (query, xyz, 0.6, 16, *lens, False, first)
            assert torch.equal(ops.ball_query(*call), naive.ball_query(*call))
        dist, near = ops.three_nn(query, xyz, *lens)
        expected = naive.three_nn(query, xyz, *lens)
        assert torch.equal(near, expected[1])
        torch.testing.assert_close(dist, expected[0])
        torch.testing.assert_close(
            ops.chamfer_distance(query, xyz, *lens), naive.chamfer_distance(query, xyz, *lens)
        )
    weight = torch.rand(2, 90, 3).cuda()
    for function, arguments in (
        ('group_points', (idx,)),
        ('gather_points', (idx[..., 0],)),
        ('three_interpolate', (near, weight)),
    ):
        outputs = []
        for module in (ops, naive):
            leaf = features.clone().requires_grad_()
            out = getattr(module, function)(leaf, *arguments)
            out.square().sum().backward()
            outputs.append((out, leaf.grad))
        torch.testing.assert_close(*outputs)
