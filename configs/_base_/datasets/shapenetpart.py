# ShapeNetPart, 2048 points, trained on train and val as published results are. The test draws its
# points with the seed of the run; scale and shift are those of PointNet's augmentation.
train_pipeline = [
    dict(type='LoadPoints', load_part=True),
    dict(type='SamplePoints', num_points=2048, allow_repeat=True),
    dict(type='NormalizePoints'),
    dict(type='RandomScaleShift', scale=(0.8, 1.25), shift=0.1),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadPoints', load_part=True),
    dict(type='SamplePoints', num_points=2048, allow_repeat=True),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNetPart',
        data_root='data/shapenetcore_partanno_segmentation_benchmark_v0_normal',
        split='trainval',
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNetPart',
        data_root='data/shapenetcore_partanno_segmentation_benchmark_v0_normal',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
