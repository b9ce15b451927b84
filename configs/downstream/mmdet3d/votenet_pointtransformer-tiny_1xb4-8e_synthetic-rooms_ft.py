# VoteNet on SyntheticRooms in minutes of one CPU core, with the encoder that
# drpoint_pointtransformer-tiny_1xb32-20e_synthetic pre-trains. Each epoch sees the rooms 5 times.
_base_ = [
    'mmdet3d::_base_/models/votenet.py',
    '../../_base_/datasets/synthetic_rooms_det.py',
    'mmdet3d::_base_/schedules/schedule-3x.py',
    'mmdet3d::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

# ScanNet's, as mmdet3d has them
mean_sizes = [
    [0.76966727, 0.8116021, 0.92573744],
    [1.876858, 1.8425595, 1.1931566],
    [0.61328, 0.6148609, 0.7182701],
    [1.3955007, 1.5121545, 0.83443564],
    [0.97949594, 1.0675149, 0.6329687],
    [0.531663, 0.5955577, 1.7500148],
    [0.9624706, 0.72462326, 1.1481868],
    [0.83221924, 1.0490936, 1.6875663],
    [0.21132214, 0.4206159, 0.5372846],
    [1.4440073, 1.8970833, 0.26985747],
    [1.0294262, 1.4040797, 0.87554324],
    [1.3766412, 0.65521795, 1.6813129],
    [0.6650819, 0.71111923, 1.298853],
    [0.41999173, 0.37906948, 1.7513971],
    [0.59359556, 0.5912492, 0.73919016],
    [0.50867593, 0.50656086, 0.30136237],
    [1.1511526, 1.0546296, 0.49706793],
    [0.47535285, 0.49249494, 0.5802117],
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='mm3dpretrain.PointTransformerBackbone',
        in_channels=3,
        num_groups=256,
        group_size=16,
        encoder_dim=96,
        embed_dim=96,
        depth=4,
        num_heads=4,
        drop_path_rate=0.05,
        hidden_dims=(32, 64, 128),
        num_seeds=512,
        fp_channels=(128, 128),
        # 16 points of 8,192 in a room then span what 16 of 512 span on a shape in the unit sphere
        input_scale=0.75,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer-tiny_1xb32-20e_synthetic/epoch_20.pth',
            prefix='point_encoder.',
        ),
    ),
    bbox_head=dict(
        num_classes=18,
        bbox_coder=dict(
            type='PartialBinBasedBBoxCoder',
            num_sizes=18,
            num_dir_bins=1,
            with_rot=False,
            mean_sizes=mean_sizes,
        ),
        vote_module_cfg=dict(in_channels=128, conv_channels=(128, 128)),
        vote_aggregation_cfg=dict(num_point=128, mlp_channels=[128, 128, 128, 128]),
    ),
)

num_points = 8192
train_pipeline = [
    dict(
        type='LoadPointsFromFile',
        coord_type='DEPTH',
        shift_height=True,
        load_dim=6,
        use_dim=[0, 1, 2],
    ),
    dict(
        type='LoadAnnotations3D',
        with_bbox_3d=True,
        with_label_3d=True,
        with_mask_3d=True,
        with_seg_3d=True,
    ),
    dict(type='GlobalAlignment', rotation_axis=2),
    dict(type='PointSegClassMapping'),
    dict(type='PointSample', num_points=num_points),
    dict(
        type='RandomFlip3D',
        sync_2d=False,
        flip_ratio_bev_horizontal=0.5,
        flip_ratio_bev_vertical=0.5,
    ),
    dict(
        type='GlobalRotScaleTrans',
        rot_range=[-0.087266, 0.087266],
        scale_ratio_range=[0.9, 1.1],
        shift_height=True,
    ),
    dict(
        type='Pack3DDetInputs',
        keys=[
            'points',
            'gt_bboxes_3d',
            'gt_labels_3d',
            'pts_semantic_mask',
            'pts_instance_mask',
        ],
    ),
]
test_pipeline = [
    dict(
        type='LoadPointsFromFile',
        coord_type='DEPTH',
        shift_height=True,
        load_dim=6,
        use_dim=[0, 1, 2],
    ),
    dict(type='GlobalAlignment', rotation_axis=2),
    dict(type='PointSample', num_points=num_points),
    dict(type='Pack3DDetInputs', keys=['points']),
]
train_dataloader = dict(
    batch_size=4,
    persistent_workers=True,
    dataset=dict(times=5, dataset=dict(pipeline=train_pipeline)),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(lr=2e-3))
train_cfg = dict(max_epochs=8, val_interval=8)
param_scheduler = [
    dict(
        type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=8,
        eta_min=1e-5,
        by_epoch=True,
        begin=0,
        end=8,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2), logger=dict(interval=25))
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
