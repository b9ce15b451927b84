# Small: cars in SyntheticStreets with the labels of a fifth of the training frames, on a CPU, from
# random weights. The network below the head is configs/_base_/models/lidar_pillars_tiny.py.
#
#     python tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets
_base_ = [
    'mmdet3d::_base_/default_runtime.py',
    '../../_base_/models/lidar_pillars_tiny.py',
]
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

data_root = 'data/synthetic_streets/'
point_cloud_range = {{_base_.lidar_encoder.voxel_layer.point_cloud_range}}
metainfo = dict(classes=['Car'])

model = dict(
    type='DynamicVoxelNet',
    data_preprocessor=dict(
        type='Det3DDataPreprocessor',
        voxel=True,
        voxel_type={{_base_.lidar_encoder.voxel_type}},
        voxel_layer={{_base_.lidar_encoder.voxel_layer}},
    ),
    voxel_encoder={{_base_.lidar_encoder.voxel_encoder}},
    middle_encoder={{_base_.lidar_encoder.middle_encoder}},
    backbone={{_base_.lidar_encoder.backbone}},
    neck={{_base_.lidar_encoder.neck}},
    bbox_head=dict(
        type='Anchor3DHead',
        num_classes=1,
        in_channels=64,
        feat_channels=64,
        use_direction_classifier=True,
        assign_per_class=True,
        anchor_generator=dict(
            type='AlignedAnchor3DRangeGenerator',
            ranges=[[0, -25.6, -1.78, 51.2, 25.6, -1.78]],
            sizes=[[3.9, 1.6, 1.56]],
            rotations=[0, 1.57],
            reshape_out=False,
        ),
        diff_rad_by_sin=True,
        bbox_coder=dict(type='DeltaXYZWLHRBBoxCoder'),
        loss_cls=dict(
            type='mmdet.FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0
        ),
        loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1.0 / 9.0, loss_weight=2.0),
        loss_dir=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=False, loss_weight=0.2),
    ),
    train_cfg=dict(
        assigner=[
            dict(
                type='Max3DIoUAssigner',
                iou_calculator=dict(type='BboxOverlapsNearest3D'),
                pos_iou_thr=0.6,
                neg_iou_thr=0.45,
                min_pos_iou=0.45,
                ignore_iof_thr=-1,
            )
        ],
        allowed_border=0,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        use_rotate_nms=True,
        nms_across_levels=False,
        nms_thr=0.01,
        score_thr=0.1,
        min_bbox_size=0,
        nms_pre=100,
        max_num=50,
    ),
)

load_points = dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4)
in_range = dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range)
train_pipeline = [
    load_points,
    dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
    dict(type='RandomFlip3D', flip_ratio_bev_horizontal=0.5),
    dict(
        type='GlobalRotScaleTrans',
        rot_range=[-0.39269908, 0.39269908],
        scale_ratio_range=[0.95, 1.05],
    ),
    in_range,
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
]
test_pipeline = [load_points, in_range, dict(type='Pack3DDetInputs', keys=['points'])]
frames = dict(
    type='KittiDataset',
    data_root=data_root,
    data_prefix=dict(pts='training/velodyne_reduced'),
    modality=dict(use_lidar=True, use_camera=False),
    metainfo=metainfo,
    box_type_3d='LiDAR',
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        frames,
        ann_file='kitti_infos_train.pkl',
        pipeline=train_pipeline,
        indices=list(range(0, 100, 5)),
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(frames, ann_file='kitti_infos_val.pkl', pipeline=test_pipeline, test_mode=True),
)
val_dataloader = None
test_evaluator = [
    dict(type='KittiMetric', ann_file=data_root + 'kitti_infos_val.pkl'),
    dict(type='mm3dpretrain.BoxRecall', iou_thr=0.5, score_thr=0.2, max_difficulty=1),
]
val_evaluator = None
val_cfg = None
test_cfg = dict()

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(
        type='CosineAnnealingLR',
        T_max=80,
        eta_min=2e-5,
        by_epoch=True,
        begin=0,
        end=80,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(by_epoch=True, max_epochs=80)
default_hooks = dict(checkpoint=dict(interval=80), logger=dict(interval=5))
randomness = dict(seed=0)
