"""A small LiDAR encoder in three kinds, and the detector that takes it."""

from __future__ import annotations

import torch

RANGE = (0.0, -8.0, -3.0, 12.8, 8.0, 1.0)


def lidar_points(batch: int, num: int) -> torch.Tensor:
    """(batch, num, 4) all over the range, the same in every call."""
    generator = torch.Generator().manual_seed(1)
    low, high = torch.tensor(RANGE).view(2, 3)
    points = torch.rand(batch, num, 4, generator=generator)
    points[..., :3] = low + points[..., :3] * (high - low) * 0.99
    return points


def toy_encoder(kind: str, width: int = 16, **settings) -> dict:
    """Config of a ``LidarBEVEncoder``: 'second', 'dynamic' (SECOND on DynamicVFE), 'pillars'.

    Args:
        kind: see above.
        width: channels of each level of the neck.
        settings: further arguments of the encoder.
    """
    dynamic, pillars = kind == 'dynamic', kind == 'pillars'
    size = [0.4, 0.4, 4.0 if pillars else 0.2]
    layer = dict(
        point_cloud_range=list(RANGE),
        voxel_size=size,
        max_num_points=-1 if dynamic else 8,
        max_voxels=(-1, -1) if dynamic else (2000, 2000),
    )
    grid = dict(voxel_size=size, point_cloud_range=list(RANGE))
    voxel_encoder = dict(type='mmdet3d.HardSimpleVFE', num_features=4)
    if dynamic:
        voxel_encoder = dict(
            type='mmdet3d.DynamicVFE',
            feat_channels=[8, 8],
            with_cluster_center=True,
            with_voxel_center=True,
            **grid,
        )
    if pillars:
        voxel_encoder = dict(type='mmdet3d.PillarFeatureNet', feat_channels=[16], **grid)
        middle = dict(type='mmdet3d.PointPillarsScatter', in_channels=16, output_shape=[40, 32])
    else:
        middle = dict(
            type='mmdet3d.SparseEncoder',
            in_channels=8 if dynamic else 4,
            sparse_shape=[21, 40, 32],
            base_channels=8,
            output_channels=8,
            encoder_channels=((8,), (8, 8), (8, 8)),
            encoder_paddings=((1,), (1, 1), ((0, 1, 1), 1)),
        )
    return {
        'type': 'LidarBEVEncoder',
        'voxel_layer': layer,
        'voxel_type': 'dynamic' if dynamic else 'hard',
        'voxel_encoder': voxel_encoder,
        'middle_encoder': middle,
        'backbone': dict(
            type='mmdet3d.SECOND',
            in_channels=16,
            layer_nums=[1, 1],
            layer_strides=[1, 2],
            out_channels=[16, 16],
        ),
        'neck': dict(
            type='mmdet3d.SECONDFPN',
            in_channels=[16, 16],
            upsample_strides=[1, 2],
            out_channels=[width, width],
        ),
        **settings,
    }


PARTS = ('voxel_encoder', 'middle_encoder', 'backbone', 'neck')


def toy_detector(kind: str, prefix: str = '', width: int = 16) -> dict:
    """Config of the detector of mmdet3d with the same parts, below ``prefix``.

    Args:
        kind: see :func:`toy_encoder`.
        prefix: 'pts_' gives a detector of the MVX kind, whose names begin so.
        width: see :func:`toy_encoder`.
    """
    encoder = toy_encoder(kind, width)
    dynamic = kind == 'dynamic'
    head = dict(
        type='Anchor3DHead',
        num_classes=1,
        in_channels=2 * width,
        feat_channels=2 * width,
        use_direction_classifier=True,
        anchor_generator=dict(
            type='AlignedAnchor3DRangeGenerator',
            ranges=[[RANGE[0], RANGE[1], -1.7, RANGE[3], RANGE[4], -1.7]],
            sizes=[[3.9, 1.6, 1.56]],
            rotations=[0, 1.57],
            reshape_out=False,
        ),
        diff_rad_by_sin=True,
        bbox_coder=dict(type='DeltaXYZWLHRBBoxCoder'),
        loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1.0 / 9.0),
        loss_dir=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False),
    )
    kinds = ('DynamicMVXFasterRCNN', 'MVXFasterRCNN') if prefix else ('DynamicVoxelNet', 'VoxelNet')
    return {
        'type': kinds[0] if dynamic else kinds[1],
        'data_preprocessor': dict(
            type='Det3DDataPreprocessor',
            voxel=True,
            voxel_type=encoder['voxel_type'],
            voxel_layer=encoder['voxel_layer'],
        ),
        **{prefix + part: encoder[part] for part in PARTS},
        prefix + 'bbox_head': head,
    }
