# Semantic segmentation of SyntheticRooms in minutes of one CPU core, with the encoder that
# drpoint_pointtransformer-tiny_1xb32-20e_synthetic pre-trains: whole rooms, features of three
# blocks carried from the patches to all points. Colours are not encoded: the pre-training saw none.
_base_ = [
    'mmdet3d::_base_/models/pointnet2_ssg.py',
    '../../_base_/datasets/synthetic_rooms_seg.py',
    'mmdet3d::_base_/schedules/seg-cosine-200e.py',
    'mmdet3d::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

num_points = 8192
class_weight = [
    *(0.5, 0.64, 1.72, 2.21, 2.21, 3.22, 3.29, 1.27, 1.74, 2.48),
    *(3.94, 1.0, 2.84, 2.33, 1.0, 1.0, 1.0, 1.0, 2.88, 3.01),
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
        num_seeds=0,
        out_indices=(1, 2, 3),
        # 16 points of 8,192 in a room then span what 16 of 512 span on a shape in the unit sphere
        input_scale=0.75,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer-tiny_1xb32-20e_synthetic/epoch_20.pth',
            prefix='point_encoder.',
        ),
    ),
    decode_head=dict(
        num_classes=20,
        ignore_index=20,
        fp_channels=((288, 128, 128),),
        # one over the root of a class's share of the points of 100 rooms; 1 for the five classes
        # that do not occur
        loss_decode=dict(class_weight=class_weight),
    ),
    # one block holds a whole room; its points come in as many parts as it takes
    test_cfg=dict(
        num_points=num_points,
        block_size=20.0,
        sample_rate=1.0,
        use_normalized_coord=False,
        batch_size=4,
    ),
)

train_pipeline = [
    dict(
        type='LoadPointsFromFile',
        coord_type='DEPTH',
        shift_height=False,
        use_color=True,
        load_dim=6,
        use_dim=[0, 1, 2, 3, 4, 5],
    ),
    dict(
        type='LoadAnnotations3D',
        with_bbox_3d=False,
        with_label_3d=False,
        with_mask_3d=False,
        with_seg_3d=True,
    ),
    dict(type='PointSegClassMapping'),
    dict(type='PointSample', num_points=num_points),
    dict(type='NormalizePointsColor', color_mean=None),
    dict(
        type='RandomFlip3D',
        sync_2d=False,
        flip_ratio_bev_horizontal=0.5,
        flip_ratio_bev_vertical=0.5,
    ),
    dict(type='GlobalRotScaleTrans', rot_range=[-3.14159, 3.14159], scale_ratio_range=[0.9, 1.1]),
    dict(type='Pack3DDetInputs', keys=['points', 'pts_semantic_mask']),
]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05))
train_cfg = dict(max_epochs=24, val_interval=24)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=24,
        eta_min=1e-5,
        begin=0,
        end=24,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2), logger=dict(interval=25))
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
