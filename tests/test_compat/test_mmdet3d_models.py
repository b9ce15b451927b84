"""mmdet3d's models, from their own config files, train a step and predict without a GPU.

Only sizes are changed: fewer and nearer points, smaller pictures, and no downloaded weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

mmdet3d = pytest.importorskip('mmdet3d')

from mmdet3d.registry import MODELS  # noqa: E402
from mmdet3d.structures import (  # noqa: E402
    CameraInstance3DBoxes,
    DepthInstance3DBoxes,
    Det3DDataSample,
    LiDARInstance3DBoxes,
    PointData,
)
from mmdet3d.utils import register_all_modules  # noqa: E402

from mm3dpretrain.compat import set_cpu_ops  # noqa: E402

CONFIGS = Path(mmdet3d.__file__).parent / '.mim' / 'configs'

KITTI = {
    (0, -39.68, -3, 69.12, 39.68, 1): (0, -10.24, -3, 20.48, 10.24, 1),
    (0, -39.68, -0.6, 69.12, 39.68, -0.6): (0, -10.24, -0.6, 20.48, 10.24, -0.6),
    (0, -39.68, -1.78, 69.12, 39.68, -1.78): (0, -10.24, -1.78, 20.48, 10.24, -1.78),
    (496, 432): (128, 128),
    (0, -40, -3, 70.4, 40, 1): (0, -6.4, -3, 12.8, 6.4, 1),
    (0, -40, -0.6, 70.4, 40, -0.6): (0, -6.4, -0.6, 12.8, 6.4, -0.6),
    (0, -40, -1.78, 70.4, 40, -1.78): (0, -6.4, -1.78, 12.8, 6.4, -1.78),
    (41, 1600, 1408): (41, 256, 256),
}
NUSCENES = {
    (-51.2, -51.2, -5, 51.2, 51.2, 3): (-12.8, -12.8, -5, 12.8, 12.8, 3),
    (-51.2, -51.2): (-12.8, -12.8),
    (512, 512): (128, 128),
    (512, 512, 1): (128, 128, 1),
    (41, 1024, 1024): (41, 256, 256),
    (1024, 1024, 40): (256, 256, 40),
}


def resized(value, sizes: dict[tuple, tuple]):
    """The config with each list of ``sizes`` replaced by its smaller one, and no download."""
    if isinstance(value, dict):
        pairs = value.items()
        return ConfigDict({k: resized(v, sizes) for k, v in pairs if k != 'init_cfg'})
    if isinstance(value, (list, tuple)):
        small = [new for old, new in sizes.items() if as_tuple(value) == old]
        return type(value)(small[0] if small else [resized(v, sizes) for v in value])
    return value


def as_tuple(value):
    """Nested lists as nested tuples."""
    return tuple(as_tuple(v) for v in value) if isinstance(value, (list, tuple)) else value


def sample() -> Det3DDataSample:
    out = Det3DDataSample()
    out.gt_pts_seg = PointData()
    return out


def with_boxes(out: Det3DDataSample, boxes, labels: torch.Tensor) -> Det3DDataSample:
    out.gt_instances_3d = InstanceData(bboxes_3d=boxes, labels_3d=labels)
    out.set_metainfo(dict(box_type_3d=type(boxes), box_mode_3d=None))
    return out


def room(points: int, extra: int, classes: int) -> dict:
    """Two rooms: points with extra channels on walls and floor, boxes, two kinds of labels."""
    clouds, samples = [], []
    for _ in range(2):
        xyz = torch.rand(points, 3) * torch.tensor([3.0, 3, 2])
        xyz[torch.arange(points), torch.randint(0, 3, (points,))] *= 0.02
        boxes = torch.cat([torch.rand(4, 3) * 2, torch.rand(4, 3) + 0.5], 1)
        boxes = DepthInstance3DBoxes(boxes, box_dim=6, with_yaw=False, origin=(0.5, 0.5, 0.5))
        out = with_boxes(sample(), boxes, torch.randint(0, classes, (4,)))
        out.gt_pts_seg.pts_semantic_mask = torch.randint(0, classes, (points,))
        out.gt_pts_seg.pts_instance_mask = torch.randint(0, 4, (points,))
        clouds.append(torch.cat([xyz, torch.rand(points, extra)], 1))
        samples.append(out)
    return dict(inputs=dict(points=clouds), data_samples=samples)


def street(points: int, low: list[float], high: list[float], channels: int = 4, size: int = 7):
    """Two LiDAR frames: ground and three cars with points on them."""
    clouds, samples = [], []
    low, high = torch.tensor(low), torch.tensor(high)
    for _ in range(2):
        xyz = low + torch.rand(points, 3) * (high - low)
        xyz[:, 2] = -1.7 + torch.rand(points) * 0.1
        boxes = torch.zeros(3, size)
        boxes[:, :2] = low[:2] + (high - low)[:2] * (0.2 + 0.6 * torch.rand(3, 2))
        boxes[:, 2] = -1.7
        boxes[:, 3:7] = torch.tensor([3.9, 1.6, 1.5, 0.0])
        on_cars = torch.randint(0, 3, (points // 4,))
        xyz[: points // 4] = (
            boxes[on_cars, :3]
            + (torch.rand(points // 4, 3) - torch.tensor([0.5, 0.5, 0])) * boxes[on_cars, 3:6]
        )
        labels = torch.tensor([0, 0, 0] if size == 9 else [2, 2, 2])
        out = with_boxes(sample(), LiDARInstance3DBoxes(boxes, box_dim=size), labels)
        clouds.append(torch.cat([xyz, torch.rand(points, channels - 3)], 1))
        samples.append(out)
    return dict(inputs=dict(points=clouds), data_samples=samples)


def kitti(points: int = 3000) -> dict:
    return street(points, [0.1, -6.3, -3], [12.7, 6.3, 1])


def kitti_cars(points: int = 3000) -> dict:
    batch = kitti(points)
    for out in batch['data_samples']:
        out.gt_instances_3d.labels_3d.zero_()
    return batch


def kitti_with_picture() -> dict:
    batch = kitti(2000)
    turn = np.array([[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    lens = np.array([[100, 0, 96, 0], [0, 100, 32, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    batch['inputs']['img'] = [torch.randint(0, 255, (3, 64, 192)).byte() for _ in range(2)]
    for out in batch['data_samples']:
        out.set_metainfo(
            dict(
                lidar2img=lens @ turn,
                img_shape=(64, 192),
                ori_shape=(64, 192),
                pad_shape=(64, 192),
                input_shape=(64, 192),
                scale_factor=np.ones(2),
                flip=False,
                pcd_trans=np.zeros(3),
                pcd_scale_factor=1.0,
                pcd_rotation=np.eye(3),
                transformation_3d_flow=['R', 'S', 'T'],
                pcd_horizontal_flip=False,
                pcd_vertical_flip=False,
            )
        )
    return batch


def nuscenes() -> dict:
    return street(4000, [-12, -12, -5], [12, 12, 3], channels=5, size=9)


def pictures() -> dict:
    """Two camera pictures with two cars ahead."""
    images, samples = [], []
    lens = [[80.0, 0, 80, 0], [0, 80, 48, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    for _ in range(2):
        images.append(torch.randint(0, 255, (3, 96, 160)).byte())
        centers = torch.tensor([[-2.0, 1.0, 12.0], [3.0, 1.0, 16.0]])
        table = torch.cat([centers, torch.tensor([[4.0, 1.5, 1.8, 0.3, 0.5, 0.1]] * 2)], 1)
        boxes = CameraInstance3DBoxes(table, box_dim=9, origin=(0.5, 0.5, 0.5))
        out = with_boxes(sample(), boxes, torch.tensor([0, 1]))
        seen = 80 * centers[:, :2] / centers[:, 2:] + torch.tensor([80.0, 48])
        half = 80 * 2.0 / centers[:, 2:]
        out.gt_instances_3d.centers_2d = seen
        out.gt_instances_3d.depths = centers[:, 2]
        out.gt_instances_3d.attr_labels = torch.tensor([0, 8])
        out.gt_instances = InstanceData(
            bboxes=torch.cat([seen - half, seen + half], 1), labels=torch.tensor([0, 1])
        )
        out.set_metainfo(
            dict(
                cam2img=lens,
                img_shape=(96, 160),
                ori_shape=(96, 160),
                pad_shape=(96, 160),
                input_shape=(96, 160),
                scale_factor=1.0,
                box_type_3d=CameraInstance3DBoxes,
            )
        )
        samples.append(out)
    return dict(inputs=dict(img=images), data_samples=samples)


def scan(classes: int, points: int) -> Callable[[], dict]:
    """Two LiDAR scans with a label for each point."""

    def build() -> dict:
        batch = street(points, [-10, -10, -3], [10, 10, 1])
        for out in batch['data_samples']:
            out.gt_pts_seg.pts_semantic_mask = torch.randint(0, classes, (points,))
        return batch

    return build


@dataclass
class Case:
    """A config file, what is made smaller in it, and a batch for it.

    ``raw`` is the number of channels that prediction takes; it adds the others itself.
    """

    config: str
    batch: Callable[[], dict]
    sizes: dict[tuple, tuple] = field(default_factory=dict)
    options: dict = field(default_factory=dict)
    raw: int | None = None


CASES = {
    'VoteNet': Case(
        'votenet/votenet_8xb8_scannet-3d.py',
        lambda: room(2500, 1, classes=18),
        {(2048, 1024, 512, 256): (512, 256, 128, 64)},
        {'bbox_head.vote_aggregation_cfg.num_point': 32},
    ),
    'PointNet++ SSG': Case(
        'pointnet2/pointnet2_ssg_2xb16-cosine-200e_scannet-seg.py',
        lambda: room(2048, 3, classes=20),
        {(1024, 256, 64, 16): (256, 64, 32, 16)},
        {'test_cfg.num_points': 1024, 'test_cfg.batch_size': 4},
    ),
    'PointNet++ MSG': Case(
        'pointnet2/pointnet2_msg_2xb16-cosine-80e_s3dis-seg.py',
        lambda: room(2048, 6, classes=13),
        {(1024, 256, 64, 16): (256, 64, 32, 16)},
        {'test_cfg.num_points': 1024, 'test_cfg.batch_size': 4},
        raw=6,
    ),
    '3DSSD': Case(
        '3dssd/3dssd_4xb4_kitti-3d-car.py',
        kitti_cars,
        {
            (4096, 512, (256, 256)): (512, 256, (128, 128)),
            (-1, -1, (512, -1)): (-1, -1, (256, -1)),
        },
        {
            'bbox_head.vote_module_cfg.num_points': 128,
            'bbox_head.vote_aggregation_cfg.num_point': 128,
        },
    ),
    'PointPillars': Case(
        'pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py', kitti, KITTI
    ),
    'SECOND': Case('second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py', kitti, KITTI),
    'CenterPoint pillar': Case(
        'centerpoint/centerpoint_pillar02_second_secfpn_8xb4-cyclic-20e_nus-3d.py',
        nuscenes,
        NUSCENES,
    ),
    'CenterPoint pillar, circle NMS': Case(
        'centerpoint/centerpoint_pillar02_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py',
        nuscenes,
        NUSCENES,
    ),
    'CenterPoint voxel': Case(
        'centerpoint/centerpoint_voxel01_second_secfpn_8xb4-cyclic-20e_nus-3d.py',
        nuscenes,
        NUSCENES,
    ),
    'MVX-Net': Case(
        'mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py',
        kitti_with_picture,
        KITTI,
    ),
    'FCOS3D': Case(
        'fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py',
        pictures,
        options={'backbone.depth': 50},
    ),
    'MinkUNet': Case(
        'minkunet/minkunet34_w32_spconv_8xb2-laser-polar-mix-3x_semantickitti.py',
        scan(19, 1500),
    ),
    'Cylinder3D': Case('cylinder3d/cylinder3d_4xb4-3x_semantickitti.py', scan(20, 300)),
}


@pytest.fixture(autouse=True)
def _mmdet3d_scope():
    register_all_modules(init_default_scope=False)
    set_cpu_ops('on')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        yield
    set_cpu_ops(None)


def build(case: Case) -> torch.nn.Module:
    config = Config.fromfile(CONFIGS / case.config)
    config.merge_from_dict({f'model.{key}': value for key, value in case.options.items()})
    return MODELS.build(resized(config.model, case.sizes))


@pytest.mark.parametrize('name', CASES)
def test_trains_a_step_and_predicts(name):
    case = CASES[name]
    if name in ('SECOND', 'CenterPoint voxel', 'MVX-Net', 'MinkUNet', 'Cylinder3D'):
        pytest.importorskip('spconv', reason=f'{name} needs spconv: pip install spconv')
    model, batch = build(case), case.batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    before = {key: value.clone() for key, value in model.named_parameters()}

    model.train()
    losses = model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
    total, logged = model.parse_losses(losses)
    total.backward()
    assert math.isfinite(total.item()), logged
    optimizer.step()
    grads = {k: v.grad for k, v in model.named_parameters() if v.grad is not None}
    assert all(grad.isfinite().all() for grad in grads.values())
    pulled = [key for key, grad in grads.items() if (grad != 0).any()]
    moved = [key for key in pulled if not torch.equal(model.get_parameter(key), before[key])]
    assert len(moved) > 0.9 * len(pulled) > 10

    if case.raw is not None:
        batch['inputs']['points'] = [cloud[:, : case.raw] for cloud in batch['inputs']['points']]
    model.eval()
    with torch.no_grad():
        found = model(**model.data_preprocessor(copy.deepcopy(batch), False), mode='predict')
    assert len(found) == 2
    for out in found:
        if hasattr(out, 'pred_pts_seg'):
            labels = out.pred_pts_seg.pts_semantic_mask
            assert labels.shape == batch['inputs']['points'][0].shape[:1]
        else:
            boxes = out.pred_instances_3d
            assert boxes.bboxes_3d.tensor.isfinite().all()
            assert len(boxes.bboxes_3d) == len(boxes.scores_3d) == len(boxes.labels_3d)
