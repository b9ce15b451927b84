# Small: PPKT on SyntheticStreets for a CPU. The teacher is the image encoder of the small SimIPU
# (configs/simipu); any mmdet.ResNet of that size will do.
_base_ = [
    '../../../configs/_base_/datasets/synthetic_streets_pairs_tiny.py',
    '../../../configs/_base_/default_runtime.py',
]
custom_imports = dict(imports=['projects.ppkt.ppkt'])

model = dict(
    type='PPKT',
    data_preprocessor=dict(
        type='PretrainDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    point_encoder=dict(
        type='SparseUNetEncoder',
        voxel_size=0.2,
        backbone=dict(
            type='mmdet3d.MinkUNetBackbone',
            in_channels=4,
            num_stages=4,
            base_channels=8,
            encoder_channels=[8, 16, 24, 32],
            encoder_blocks=[1, 1, 1, 1],
            decoder_channels=[32, 24, 16, 16],
            decoder_blocks=[1, 1, 1, 1],
        ),
    ),
    image_encoder=dict(
        type='mmdet.ResNet',
        depth=18,
        stem_channels=16,
        base_channels=16,
        norm_cfg=dict(type='BN'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/simipu_r18-pointnet2msg-tiny_1xb2-16e_synthetic-streets/epoch_16.pth',
            prefix='img_encoder.',
        ),
    ),
    image_channels=128,
    embed_dim=32,
    num_pairs=2048,
    # A tighter tolerance takes slanted ground for hidden: the depth of a cell is its nearest point.
    projector=dict(type='PointProjector', tolerance=0.3, relative=True),
)
train_pipeline = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(128, 416), keep_ratio=False),
    dict(type='FlipPictures', prob=0.5),
    dict(type='LidarDepth', stride=4),
    dict(type='PointsInRange', point_cloud_range=_base_.point_cloud_range),
    dict(type='PointsInPicture'),
    dict(type='TwoViewPoints', num_points=8192),
    dict(type='PackPairs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=20, by_epoch=True, end=20, convert_to_iter_based=True)
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=20)
