# Small: cars in SyntheticStreets from points and pictures, with the labels of a fifth of the
# training frames, on a CPU, from random weights. 2048 points a frame, so that the pictures have
# something to add. The image encoder: configs/_base_/models/simipu_r18-pointnet2msg_tiny.py.
_base_ = ['./pointpillars-tiny_1xb4-80e_synthetic-streets_scratch.py']

point_cloud_range = _base_.point_cloud_range
model = dict(
    _delete_=True,
    type='DynamicMVXFasterRCNN',
    data_preprocessor=dict(
        _base_.model.data_preprocessor,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
    img_backbone=dict(
        type='mmdet.ResNet',
        depth=18,
        stem_channels=16,
        base_channels=16,
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        zero_init_residual=False,
    ),
    img_neck=dict(
        type='mmdet.FPN',
        in_channels=[16, 32, 64, 128],
        out_channels=32,
        norm_cfg=dict(type='BN'),
        num_outs=4,
    ),
    pts_voxel_encoder=dict(
        _base_.model.voxel_encoder,
        fusion_layer=dict(
            type='PointFusion',
            img_channels=32,
            pts_channels=32,
            mid_channels=32,
            out_channels=32,
            img_levels=[0, 1, 2, 3],
            align_corners=False,
            activate_out=True,
            fuse_out=False,
        ),
    ),
    pts_middle_encoder=_base_.model.middle_encoder,
    pts_backbone=_base_.model.backbone,
    pts_neck=_base_.model.neck,
    pts_bbox_head=_base_.model.bbox_head,
    train_cfg=dict(pts=_base_.model.train_cfg),
    test_cfg=dict(pts=_base_.model.test_cfg),
)

load = [
    dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4),
    dict(type='LoadImageFromFile'),
]
in_range = dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range)
thin = dict(type='PointSample', num_points=2048)
train_pipeline = [
    *load,
    dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
    dict(type='RandomResize', scale=[(374, 115), (458, 141)], keep_ratio=True),
    dict(
        type='GlobalRotScaleTrans',
        rot_range=[-0.39269908, 0.39269908],
        scale_ratio_range=[0.95, 1.05],
        translation_std=[0, 0, 0],
    ),
    dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
    in_range,
    thin,
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='Pack3DDetInputs', keys=['points', 'img', 'gt_bboxes_3d', 'gt_labels_3d']),
]
test_pipeline = [
    *load,
    dict(type='Resize', scale=(416, 128), keep_ratio=True),
    in_range,
    thin,
    dict(type='Pack3DDetInputs', keys=['points', 'img']),
]
both = dict(
    modality=dict(use_lidar=True, use_camera=True),
    data_prefix=dict(pts='training/velodyne_reduced', img='training/image_2'),
)
train_dataloader = dict(dataset=dict(both, pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(both, pipeline=test_pipeline))

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(
        type='CosineAnnealingLR',
        T_max=60,
        eta_min=3e-5,
        by_epoch=True,
        begin=0,
        end=60,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=60)
default_hooks = dict(checkpoint=dict(interval=60))
