# KITTI as SimIPU reads it: the training frames, points in the camera's view (velodyne_reduced), the
# left colour camera; no jitter, no crop, the cloud's mirror tied to the picture's.
point_cloud_range = [0, -40, -3, 70.4, 40, 1]
train_pipeline = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(192, 640), max_size=(720, 2400)),
    dict(type='FlipPictures', prob=0.5),
    dict(type='PointsInRange', point_cloud_range=point_cloud_range),
    dict(
        type='TwoViewPoints',
        num_points=16384,
        rotation=(-1.5707963, 1.5707963),
        center=(35.2, 0, -1),
        scale=(0.75, 1.25),
        flip='image',
    ),
    dict(type='PackPairs'),
]
test_pipeline = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(384, 1280)),
    dict(type='LidarDepth', stride=4),
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
    dataset=dict(type='KittiPairs', data_root='data/kitti', split='train', pipeline=train_pipeline),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='KittiPairs',
        data_root='data/kitti',
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
