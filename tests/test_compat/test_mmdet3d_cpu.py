"""What mmdet3d sends to CUDA stays on the CPU, and missing packages are named."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from mm3dpretrain.compat import mmcv_cpu, mmdet3d_cpu, set_cpu_ops

structures = pytest.importorskip('mmdet3d.structures')


@pytest.fixture(autouse=True)
def _served():
    set_cpu_ops('on')
    yield
    set_cpu_ops(None)


@pytest.mark.parametrize('batch_first', [True, False])
@pytest.mark.parametrize('max_voxels', [None, 20])
def test_quantized_voxels(batch_first, max_voxels):
    models = pytest.importorskip('mmdet3d.models.data_preprocessors')
    layer = dict(max_num_points=-1, point_cloud_range=[-9] * 3 + [9] * 3, voxel_size=[0.5] * 3)
    preprocessor = models.Det3DDataPreprocessor(
        voxel=True,
        voxel_type='minkunet',
        voxel_layer=dict(layer, max_voxels=(-1, -1)),
        batch_first=batch_first,
        max_voxels=max_voxels,
    ).train()
    clouds, samples = [torch.rand(90, 4) * 3, torch.rand(70, 4) * 3], []
    for cloud in clouds:
        sample = structures.Det3DDataSample()
        sample.gt_pts_seg = structures.PointData(pts_semantic_mask=torch.arange(len(cloud)))
        samples.append(sample)
    out = preprocessor.voxelize(clouds, samples)
    column = 0 if batch_first else 3
    for b, (cloud, sample) in enumerate(zip(clouds, samples)):
        rows = out['coors'][:, column] == b
        places = out['coors'][rows][:, [c for c in range(4) if c != column]]
        grid = torch.round(cloud[:, :3] / 0.5).int()
        grid = grid - grid.min(0).values
        chosen = sample.gt_pts_seg.voxel_semantic_mask  # the labels are the points' indices
        assert torch.equal(places, grid[chosen])
        assert torch.equal(out['voxels'][rows], cloud[chosen])
        assert (sample.batch_idx == b).all() and len(sample.batch_idx) == len(chosen)
        distinct = grid.unique(dim=0)
        if max_voxels is None:
            assert len(distinct) == len(chosen)
            assert torch.equal(places[sample.point2voxel_map], grid)
        else:
            assert len(chosen) == max_voxels < len(distinct)


def test_nuscenes_boxes_stay_on_the_cpu():
    metric = pytest.importorskip('mmdet3d.evaluation.metrics.nuscenes_metric')
    quaternion = pytest.importorskip('pyquaternion').Quaternion
    boxes = []
    for label, score in ((2, 0.5), (7, 0.25)):
        turn = quaternion(axis=[0, 0, 1], angle=0.3)
        box = metric.NuScenesBox([1, 2, 3], [1.5, 4.0, 1.25], turn, label, score, (1.0, 9.0, 2.0))
        boxes.append(box)
    solid, scores, labels = metric.nusc_box_to_cam_box3d(boxes)
    assert isinstance(solid, structures.CameraInstance3DBoxes)
    assert np.allclose(solid.gravity_center, [[1, 2, 3]] * 2)
    assert np.allclose(solid.tensor[:, 3:], [[4, 1.25, 1.5, -0.3, 1, 2]] * 2, atol=1e-6)
    assert labels.tolist() == [2, 7]
    expected = torch.zeros(2, 11)
    expected[0, 2], expected[1, 7] = 0.5, 0.25
    assert torch.equal(scores, expected)
    assert metric.nusc_box_to_cam_box3d([])[1].shape == (0, 11)


def test_sparse_convolution_without_spconv_names_the_command():
    mmcv_ops = pytest.importorskip('mmcv.ops')
    indices = torch.tensor([[0, 1, 1, 1]], dtype=torch.int32)
    tensor = mmcv_ops.SparseConvTensor(torch.rand(1, 3), indices, [4, 4, 4], 1)
    with pytest.raises(ImportError, match=r'MinkUNet and Cylinder3D.*mm3dpretrain\[sparse\]'):
        mmcv_ops.SubMConv3d(3, 4, 3)(tensor)


def test_cylinder_without_spconv_names_the_command(monkeypatch):
    made = []
    module = types.SimpleNamespace(SparseConv3d=lambda *args: made.append(args))
    mmdet3d_cpu.mend_cylinder(module)
    monkeypatch.setitem(sys.modules, 'spconv.pytorch', None)
    with pytest.raises(ImportError, match='Cylinder3D without CUDA needs'):
        module.SparseConv3d(1, 2)
    set_cpu_ops('off')
    module.SparseConv3d(1, 2)
    assert made == [(1, 2)]


def test_functions_are_replaced_only_where_they_are_held(monkeypatch):
    def original():
        pass

    def new():
        pass

    holder = types.SimpleNamespace(original=original)
    other = types.SimpleNamespace(original=len)
    monkeypatch.setitem(sys.modules, 'mmdet3d.holder_of_a_name', holder)
    monkeypatch.setitem(sys.modules, 'mmcv.holder_of_another', other)
    mmcv_cpu.replace_function(original, new)
    assert holder.original is new and other.original is len


def test_missing_kits_are_named(monkeypatch):
    module = types.ModuleType('mmdet3d.evaluation')
    monkeypatch.setattr(mmdet3d_cpu, 'KITS', {'json': 'json', 'no_such_kit': 'no-such-kit'})
    with pytest.raises(ImportError, match='mmdet3d.evaluation .* pip install no-such-kit'):
        mmdet3d_cpu.check_kits(module)
    monkeypatch.setattr(mmdet3d_cpu, 'KITS', {'json': 'json'})
    mmdet3d_cpu.check_kits(module)
