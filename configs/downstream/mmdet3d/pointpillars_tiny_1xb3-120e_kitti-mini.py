# Small: PointPillars for cars on a handful of KITTI frames, on a CPU. It learns them by heart: this
# shows that scans, boxes, frames of reference, losses and evaluation fit together, nothing more.
_base_ = ['mmdet3d::pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-car.py']

custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

data_root = 'data/kitti_mini/'
point_cloud_range = [0, -39.68, -3, 69.12, 39.68, 1]
metainfo = dict(classes=['Car'])
# mmdet3d's momentum of 0.01 is too slow for 360 steps: the running statistics lag behind the
# weights, and the network that fits every frame in training finds no car in the test.
norm_1d = dict(type='BN1d', eps=1e-3, momentum=0.1)
norm_2d = dict(type='BN', eps=1e-3, momentum=0.1)

model = dict(
    voxel_encoder=dict(feat_channels=[32], norm_cfg=norm_1d),
    middle_encoder=dict(in_channels=32),
    backbone=dict(
        in_channels=32, layer_nums=[1, 2, 2], out_channels=[32, 64, 128], norm_cfg=norm_2d
    ),
    neck=dict(in_channels=[32, 64, 128], out_channels=[64, 64, 64], norm_cfg=norm_2d),
    bbox_head=dict(in_channels=192, feat_channels=192),
)
load_points = dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=4, use_dim=4)
in_range = dict(type='PointsRangeFilter', point_cloud_range=point_cloud_range)
train_pipeline = [
    load_points,
    dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True),
    in_range,
    dict(type='ObjectRangeFilter', point_cloud_range=point_cloud_range),
    dict(type='PointShuffle'),
    dict(type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d']),
]
test_pipeline = [load_points, in_range, dict(type='Pack3DDetInputs', keys=['points'])]
frames = dict(
    type='KittiDataset',
    data_root=data_root,
    ann_file='kitti_infos_train.pkl',
    data_prefix=dict(pts='training/velodyne_reduced'),
    modality=dict(use_lidar=True, use_camera=False),
    metainfo=metainfo,
    box_type_3d='LiDAR',
)
train_dataloader = dict(
    _delete_=True,
    batch_size=3,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(frames, pipeline=train_pipeline),
)
# the training frames themselves
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(frames, pipeline=test_pipeline, test_mode=True),
)
val_dataloader = test_dataloader
test_evaluator = [
    dict(type='KittiMetric', ann_file=data_root + 'kitti_infos_train.pkl'),
    # AP40 is capped where there are so few objects
    dict(type='mm3dpretrain.BoxRecall', iou_thr=0.7, score_thr=0.3, max_difficulty=1),
]
val_evaluator = test_evaluator

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(
        type='CosineAnnealingLR',
        T_max=120,
        eta_min=2e-5,
        by_epoch=True,
        begin=0,
        end=120,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(_delete_=True, by_epoch=True, max_epochs=120, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=20), logger=dict(interval=3))
randomness = dict(seed=0)
