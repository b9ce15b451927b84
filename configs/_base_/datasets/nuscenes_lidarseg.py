# LiDAR segmentation on nuScenes: 28,130 training and 6,019 validation key frames, 16 classes.
# Needs nuScenes-lidarseg unpacked below data/nuscenes before mmdet3d's create_data.py is run.
# Augmentation is that of mmdet3d's MinkUNet on SemanticKITTI, angles those of this sensor.
data_root = 'data/nuscenes/'
data_prefix = dict(pts='samples/LIDAR_TOP', pts_semantic_mask='lidarseg/v1.0-trainval')
load_scan = [
    dict(type='LoadPointsFromFile', coord_type='LIDAR', load_dim=5, use_dim=4),
    # [0, 255] in the files, [0, 1] in the pre-training
    dict(type='mm3dpretrain.ScaleIntensity', factor=1 / 255),
    dict(
        type='LoadAnnotations3D',
        with_bbox_3d=False,
        with_label_3d=False,
        with_seg_3d=True,
        seg_3d_dtype='np.uint8',
    ),
    dict(type='PointSegClassMapping'),
]
train_pipeline = [
    *load_scan,
    dict(
        type='RandomChoice',
        transforms=[
            [
                dict(
                    type='LaserMix',
                    num_areas=[3, 4, 5, 6],
                    pitch_angles=[-30, 10],
                    pre_transform=load_scan,
                    prob=1,
                )
            ],
            [
                dict(
                    type='PolarMix',
                    instance_classes=list(range(10)),
                    swap_ratio=0.5,
                    rotate_paste_ratio=1.0,
                    pre_transform=load_scan,
                    prob=1,
                )
            ],
        ],
        prob=[0.5, 0.5],
    ),
    dict(
        type='GlobalRotScaleTrans',
        rot_range=[0.0, 6.28318531],
        scale_ratio_range=[0.95, 1.05],
        translation_std=[0, 0, 0],
    ),
    dict(type='Pack3DDetInputs', keys=['points', 'pts_semantic_mask']),
]
test_pipeline = [*load_scan, dict(type='Pack3DDetInputs', keys=['points', 'pts_semantic_mask'])]
_frames = dict(
    type='mm3dpretrain.NuScenesSegDataset',
    data_root=data_root,
    data_prefix=data_prefix,
    ignore_index=16,
)
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(ann_file='nuscenes_infos_train.pkl', pipeline=train_pipeline, **_frames),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='nuscenes_infos_val.pkl', pipeline=test_pipeline, test_mode=True, **_frames
    ),
)
val_dataloader = test_dataloader
val_evaluator = dict(type='SegMetric')
test_evaluator = val_evaluator
