# SLidR on nuScenes: mmdet3d's MinkUNet-34 learns from a ResNet-50 with ImageNet weights, whose
# strides are dilations instead, so that its last map has a quarter of the picture's resolution.
_base_ = ['../../ppkt/configs/ppkt_minkunet34_1xb16-50e_nuscenes.py']
custom_imports = dict(imports=['projects.slidr.slidr'])

model = dict(
    _delete_=True,
    type='SLidR',
    data_preprocessor=_base_.model.data_preprocessor,
    point_encoder=_base_.model.point_encoder,
    image_encoder=dict(_base_.model.image_encoder, strides=(1, 1, 1, 1), dilations=(1, 2, 4, 8)),
    image_channels=2048,
    embed_dim=64,
    temperature=0.07,
    projector=_base_.model.projector,
)
# the pictures are small enough for a map at full resolution
train_pipeline = [
    dict(type='LoadLidar', min_distance=1.0),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(234, 416)),
    dict(type='CropPictures', size=(224, 416)),
    dict(type='FlipPictures', prob=0.5),
    dict(type='LidarDepth', stride=4),
    dict(type='PointsInRange', point_cloud_range=_base_.point_cloud_range),
    dict(type='PointsInPicture'),
    dict(
        type='TwoViewPoints',
        num_points=16384,
        rotation=(-3.1415926, 3.1415926),
        center=(0, 0, 0),
        scale=(1.0, 1.0),
        flip=0.5,
    ),
    dict(
        type='PackSuperpixelPairs',
        num_segments=150,
        compactness=6.0,
        sigma=3.0,
        cache_dir='data/cache/superpixels',
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
