# Waymo after mmdet3d's conversion: every fifth frame with the front camera, as SimIPU's Waymo set.
# A tenth of it: train_dataloader.dataset.scene_share=0.1 (scene_seed=None takes the first scenes).
_base_ = ['./kitti_pairs_improved.py']

point_cloud_range = [0, -40, -2, 70.4, 40, 4]
train_pipeline = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(448, 672), max_size=(640, 960)),
    dict(type='CropPictures', size=(448, 832), where='bottom'),
    dict(type='JitterPictures', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='FlipPictures', prob=0.5),
    dict(type='LidarDepth', stride=4),
    dict(type='PointsInRange', point_cloud_range=point_cloud_range),
    dict(type='PointsInPicture'),
    dict(type='TwoViewPoints', num_points=16384),
    dict(type='PackPairs'),
]
test_pipeline = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(640, 960)),
    dict(type='LidarDepth', stride=4),
    dict(type='PointsInRange', point_cloud_range=point_cloud_range),
    dict(type='PointsInPicture'),
    dict(type='SampleLidar', num_points=16384, fixed=True),
    dict(type='PackPairs'),
]
train_dataloader = dict(
    dataset=dict(
        type='WaymoPairs',
        data_root='data/waymo/kitti_format',
        interval=5,
        pipeline=train_pipeline,
    )
)
test_dataloader = dict(
    dataset=dict(
        type='WaymoPairs', data_root='data/waymo/kitti_format', interval=5, pipeline=test_pipeline
    )
)
