# Semantic segmentation of SyntheticRooms in minutes of one CPU core: a narrow MinkUNet on voxels of
# 5 cm, its encoder started from a small MVNet. Trained on blocks of the rooms, at full density,
# tested on whole rooms. Every epoch draws one block of each room.
_base_ = [
    'mmdet3d::_base_/models/minkunet.py',
    '../../_base_/datasets/synthetic_rooms_seg.py',
    'mmdet3d::_base_/schedules/seg-cosine-200e.py',
    'mmdet3d::_base_/default_runtime.py',
]
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(
        batch_first=True, max_voxels=None, voxel_layer=dict(voxel_size=[0.05, 0.05, 0.05])
    ),
    backbone=dict(
        in_channels=6,
        base_channels=16,
        encoder_channels=[16, 32, 64, 64],
        encoder_blocks=[1, 1, 1, 1],
        decoder_channels=[64, 64, 32, 32],
        decoder_blocks=[1, 1, 1, 1],
        sparseconv_backend='spconv',
    ),
    decode_head=dict(channels=32, num_classes=20, ignore_index=20),
    # the encoder alone, as in the paper; -encdec adds the decoder
    init_cfg=dict(
        type='mm3dpretrain.PretrainedParts',
        checkpoint='work_dirs/mvnet_sparseunet-tiny_1xb4-12e_synthetic-rooms/epoch_12.pth',
        parts={
            'backbone.conv_input': 'point_encoder.backbone.conv_input.',
            'backbone.encoder': 'point_encoder.backbone.encoder.',
        },
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
    dict(
        type='IndoorPatchPointSample',
        num_points=8192,
        block_size=1.5,
        ignore_index=20,
        use_normalized_coord=False,
        enlarge_size=0.2,
        min_unique_num=None,
    ),
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
train_dataloader = dict(
    batch_size=2, dataset=dict(pipeline=train_pipeline, scene_idxs=list(range(100)))
)

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.05))
train_cfg = dict(max_epochs=6)
# tested once, at the end, by compare_transfer.py or test.py
val_cfg = val_dataloader = val_evaluator = None
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=6,
        eta_min=1e-5,
        begin=0,
        end=6,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=2), logger=dict(interval=25))
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
