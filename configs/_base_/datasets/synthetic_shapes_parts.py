# Small: parts of the embedded shapes (data/synthetic), 27 categories, 143 parts, 512 points.
train_pipeline = [
    dict(type='LoadPoints', load_part=True),
    dict(type='SamplePoints', num_points=512, allow_repeat=True),
    dict(type='NormalizePoints'),
    dict(type='RandomScaleShift', scale=(0.8, 1.25), shift=0.1),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadPoints', load_part=True),
    dict(type='SamplePoints', num_points=512, allow_repeat=True),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55',
        data_root='data/synthetic',
        expected_count=None,
        split='train',
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55',
        data_root='data/synthetic',
        expected_count=None,
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
