# Small: pairs of SyntheticStreets for a processor; 1024 points, pictures of 128 x 416.
# tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets
point_cloud_range = [0, -40, -3, 70.4, 40, 1]
train_pipeline = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(128, 416), keep_ratio=False),
    dict(type='JitterPictures', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='FlipPictures', prob=0.5),
    dict(type='LidarDepth', stride=2),
    dict(type='PointsInRange', point_cloud_range=point_cloud_range),
    dict(type='PointsInPicture'),
    dict(type='TwoViewPoints', num_points=1024),
    dict(type='PackPairs'),
]
test_pipeline = [
    dict(type='LoadLidar'),
    dict(type='LoadPictures'),
    dict(type='ResizePictures', size=(128, 416), keep_ratio=False),
    dict(type='LidarDepth', stride=2),
    dict(type='PointsInRange', point_cloud_range=point_cloud_range),
    dict(type='PointsInPicture'),
    dict(type='SampleLidar', num_points=1024, fixed=True),
    dict(type='PackPairs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    # pictures have different sizes: the preprocessor stacks them
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='KittiPairs',
        data_root='data/synthetic_streets',
        split='train',
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='KittiPairs',
        data_root='data/synthetic_streets',
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
