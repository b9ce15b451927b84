"""The sparse detector: voxels of a U-Net as locations of FCAF3D's boxes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

pytest.importorskip('mmdet3d')

from mmdet3d.registry import MODELS as MMDET3D
from mmdet3d.structures import DepthInstance3DBoxes, Det3DDataSample
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

import mm3dpretrain.models.downstream.sparse_box_head  # noqa: F401  registers
from mm3dpretrain.datasets.synthetic import write_synthetic_rooms
from mm3dpretrain.registry import MODELS

UNET = dict(
    type='mmdet3d.MinkUNetBackbone',
    in_channels=6,
    base_channels=16,
    num_stages=3,
    encoder_channels=[16, 32, 64],
    encoder_blocks=[1, 1, 1],
    decoder_channels=[64, 48, 32],
    decoder_blocks=[1, 1, 1],
)
BACKBONE = dict(
    type='mm3dpretrain.SparseVoxelBackbone', voxel_size=0.05, backbone=UNET, out_levels=(0, 1, 2)
)
HEAD = dict(
    type='mm3dpretrain.SparseBoxHead', num_classes=3, in_channels=(64, 64, 48), out_channels=32,
    pts_assign_threshold=12, pts_center_threshold=12,
)  # fmt: skip


def detector(backbone=BACKBONE, **head):
    torch.manual_seed(0)
    cfg = dict(
        type='SingleStage3DDetector',
        data_preprocessor=dict(type='Det3DDataPreprocessor'),
        backbone=backbone,
        bbox_head={**HEAD, **head},
        train_cfg=dict(),
        test_cfg=dict(nms_pre=200, iou_thr=0.3, score_thr=0.05),
    )
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = MMDET3D.build(ConfigDict(copy.deepcopy(cfg)))
        model.init_weights()
    return model


def sample(boxes, labels, **kwargs) -> Det3DDataSample:
    data = Det3DDataSample(metainfo=dict(box_type_3d=DepthInstance3DBoxes))
    boxes = DepthInstance3DBoxes(boxes, box_dim=boxes.shape[1], origin=(0.5, 0.5, 0.5), **kwargs)
    data.gt_instances_3d = InstanceData(bboxes_3d=boxes, labels_3d=labels)
    return data


@pytest.fixture
def clouds():
    return torch.rand(2, 3000, 6, generator=torch.Generator().manual_seed(0))


def test_voxels(clouds):
    torch.manual_seed(0)
    backbone = MODELS.build(BACKBONE).eval()
    levels = backbone(clouds)
    assert backbone.level_channels == (64, 64, 48)
    encoded = backbone.pretraining_features(clouds)['levels']
    for level, width, (_, of_points) in zip(levels, (64, 64, 48), encoded):
        assert len(level) == 2
        for i, (xyz, features) in enumerate(level):
            assert xyz.shape == (len(features), 3) and features.shape[1] == width
            # the voxels of a scene are exactly those that its points know
            assert len(features) == len(of_points[i].unique(dim=0))
            assert (xyz >= 0).all() and (xyz <= 1).all()
    # means of the points, weighted by their number, are the mean of the cloud
    assert len(levels[0][0][0]) < len(levels[1][0][0]) < len(levels[2][0][0])
    with pytest.raises(ValueError, match='out_levels'):
        MODELS.build(dict(BACKBONE, out_levels=()))


def test_places_are_means(clouds):
    """Every point is nearest its own voxel's mean to within the voxel's diagonal."""
    backbone = MODELS.build(BACKBONE).eval()
    for stride, level in zip((8, 4, 2), backbone(clouds)):
        far = torch.cdist(clouds[0, :, :3], level[0][0]).amin(1)
        assert far.max() <= 0.05 * stride * 3**0.5


@pytest.mark.parametrize('boxes', [1, 0])
def test_losses_reach_the_encoder(clouds, boxes):
    model = detector()
    box = torch.tensor([[0.5, 0.5, 0.5, 0.6, 0.5, 0.4]])[:boxes]
    samples = [sample(box, torch.zeros(boxes, dtype=torch.long)) for _ in clouds]
    if not boxes:
        samples[0] = sample(torch.tensor([[0.5, 0.5, 0.5, 0.6, 0.5, 0.4]]), torch.tensor([1]))
    losses = model.loss(dict(points=list(clouds)), samples)
    assert set(losses) == {'center_loss', 'bbox_loss', 'cls_loss'}
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    grads = {n: p.grad for n, p in model.backbone.backbone.encoder.named_parameters()}
    assert all(grad is not None and grad.isfinite().all() for grad in grads.values())


def test_boxes_with_a_heading(clouds):
    """SUN RGB-D's form: trains and predicts on a CPU, whose mmcv lacks the rotated overlap."""
    model = detector(
        dict(BACKBONE, voxel_size=0.1, out_levels=(1, 2)), in_channels=(64, 48), num_reg_outs=8,
        pts_assign_threshold=6, bbox_loss=dict(type='mmdet3d.RotatedIoU3DLoss'),
    )  # fmt: skip
    box = torch.tensor([[0.5, 0.5, 0.5, 0.6, 0.4, 0.4, 0.8]])
    target = sample(box, torch.tensor([2]))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    history = []
    for _ in range(40):
        losses = model.loss(dict(points=list(clouds)), [target, target])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append(losses['bbox_loss'].item())
    assert history[0] > 2 * history[-1] and np.isfinite(history).all()
    model.eval()
    found = model.predict(dict(points=list(clouds)), [target, target])[0].pred_instances_3d
    best = found[found.scores_3d.argsort(descending=True)[:1]]
    overlap = DepthInstance3DBoxes.overlaps(best.bboxes_3d, target.gt_instances_3d.bboxes_3d)
    assert best.labels_3d.tolist() == [2] and overlap.item() > 0.5


def test_a_room_is_learnt_by_heart(tmp_path):
    """Boxes of one embedded room: found, with the right class, before anything else."""
    write_synthetic_rooms(
        tmp_path, train=1, val=0, frames=1, steps=4, image_size=(32, 24), num_points=6000, workers=1
    )
    info = pickle.loads((tmp_path / 'rooms_infos_train.pkl').read_bytes())['data_list'][0]
    file = tmp_path / 'points' / info['lidar_points']['lidar_path']
    points = np.fromfile(file, np.float32).reshape(-1, 6)
    points = torch.from_numpy(points * np.array([1, 1, 1, *3 * [1 / 255]], np.float32))
    align = torch.tensor(info['axis_align_matrix'], dtype=torch.float)
    points[:, :3] = points[:, :3] @ align[:3, :3].T + align[:3, 3]
    boxes = torch.tensor([i['bbox_3d'] for i in info['instances']], dtype=torch.float)
    labels = torch.tensor([i['bbox_label_3d'] for i in info['instances']])
    thick = boxes[:, 3:].amin(1) > 0.2  # a voxel of a door leaf is thicker than the door
    boxes, (classes, labels) = boxes[thick], labels[thick].unique(return_inverse=True)
    assert len(boxes) >= 3
    torch.manual_seed(0)
    model = detector(
        dict(BACKBONE, voxel_size=0.08, out_levels=(1, 2)),
        num_classes=len(classes),
        in_channels=(64, 48),
        pts_assign_threshold=6,
    )
    target = sample(boxes, labels, with_yaw=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=120, pct_start=0.2)
    for _ in range(120):
        losses = model.loss(dict(points=[points]), [target])
        optimizer.zero_grad()
        sum(losses.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        schedule.step()
    model.eval()
    found = model.predict(dict(points=[points]), [target])[0].pred_instances_3d
    overlap = DepthInstance3DBoxes.overlaps(found.bboxes_3d, target.gt_instances_3d.bboxes_3d)
    right = (overlap > 0.5) & (found.labels_3d[:, None] == labels)
    # the surest ones are the boxes, each of them once; surfaces have a low centerness and so a
    # low score
    surest = found.scores_3d.argsort(descending=True)[: len(boxes)]
    assert right[surest].sum(0).tolist() == [1] * len(boxes), (overlap, found.scores_3d)
