# Small: pairs of RGB-D frames of SyntheticRooms for a processor; 4096 points, pictures 120 x 160.
# tools/dataset_converters/create_synthetic_rooms.py --out data/synthetic_rooms
# The paper does not say how views are chosen, how many there are or how large: all this project's.
train_pipeline = [
    dict(type='LoadFrames'),
    dict(type='ResizeFrames', size=(120, 160)),
    dict(type='LoadSceneCloud', voxel_size=0.02),
    dict(type='SamplePoints', num_points=4096, allow_repeat=True),
    dict(type='RotateScaleScene', max_angle=180, scale=(0.9, 1.1)),
    dict(type='SampleCorrespondences', num=256, depth_tol=0.05),
    dict(type='ColorJitterView', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PackFrames'),
]
test_pipeline = [
    dict(type='LoadFrames'),
    dict(type='ResizeFrames', size=(120, 160)),
    dict(type='LoadSceneCloud', voxel_size=0.02),
    dict(type='SamplePoints', num_points=4096, allow_repeat=True),
    dict(type='SampleCorrespondences', num=256, depth_tol=0.05),
    dict(type='PackFrames'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='SyntheticRoomsFrames',
        data_root='data/synthetic_rooms',
        split='train',
        min_overlap=0.3,
        pipeline=train_pipeline,
    ),
)
# rooms that are not trained on
test_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='SyntheticRoomsFrames',
        data_root='data/synthetic_rooms',
        split='val',
        min_overlap=0.3,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
