# nuScenes, training scenes: LIDAR_TOP with all six cameras, from the raw tables (v1.0-trainval) or,
# with ann_file='nuscenes_infos_train.pkl', from mmdet3d's info file. x is right, y forward: the
# scan is turned about the car.
point_cloud_range = [-51.2, -51.2, -5, 51.2, 51.2, 3]
train_pipeline = [
    dict(type='LoadLidar', min_distance=1.0),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(450, 800), max_size=(540, 960)),
    dict(type='CropPictures', size=(384, 800)),
    dict(type='JitterPictures', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='FlipPictures', prob=0.5),
    dict(type='LidarDepth', stride=8),
    dict(type='PointsInRange', point_cloud_range=point_cloud_range),
    dict(type='PointsInPicture'),
    # the flip of the pictures mirrors each one by itself: nothing to tie the scan's to
    dict(
        type='TwoViewPoints',
        num_points=16384,
        rotation=(-3.1415926, 3.1415926),
        center=(0, 0, 0),
        flip=0.5,
    ),
    dict(type='PackPairs'),
]
test_pipeline = [
    dict(type='LoadLidar', min_distance=1.0),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(450, 800)),
    dict(type='LidarDepth', stride=8),
    dict(type='PointsInRange', point_cloud_range=point_cloud_range),
    dict(type='PointsInPicture'),
    dict(type='SampleLidar', num_points=16384, fixed=True),
    dict(type='PackPairs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    # pictures have different sizes: the preprocessor stacks them
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='NuScenesPairs', data_root='data/nuscenes', split='train', pipeline=train_pipeline
    ),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='NuScenesPairs',
        data_root='data/nuscenes',
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
