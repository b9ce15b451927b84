# PPKT on nuScenes: mmdet3d's MinkUNet-34 learns from a ResNet-50 with ImageNet weights. Pairs,
# temperature, SGD and epochs as in SLidR's comparison.
_base_ = [
    '../../../configs/_base_/models/lidar_minkunet34.py',
    '../../../configs/_base_/datasets/nuscenes_pairs.py',
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
    point_encoder=_base_.lidar_encoder,
    image_encoder=dict(
        type='mmdet.ResNet',
        depth=50,
        out_indices=(3,),
        norm_cfg=dict(type='BN'),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    image_channels=2048,
    embed_dim=64,
    num_pairs=4096,
    # A tighter tolerance takes slanted ground for hidden: the depth of a cell is its nearest point.
    projector=dict(type='PointProjector', tolerance=0.3, relative=True),
    contrast=dict(type='PointInfoNCELoss', temperature=0.07, gather_distributed=False),
)
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, dampening=0.1, weight_decay=1e-4),
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=50, by_epoch=True, end=50)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=50)
