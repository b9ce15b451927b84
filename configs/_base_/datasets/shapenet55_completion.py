# ShapeNet-55 by the protocol of PoinTr: a quarter to three quarters of the 8192 points are removed,
# those nearest to a random direction; the test removes 25, 50 and 75 % from each of 8 corners.
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='NormalizePoints'),
    dict(type='RemoveNearest', ratio=(0.25, 0.75), viewpoint='random'),
    dict(type='SamplePoints', num_points=2048, method='fps'),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadPoints'),
    dict(type='NormalizePoints'),
    dict(type='RemoveNearest', ratio=0.5, viewpoint='corner'),
    dict(type='SamplePoints', num_points=2048, method='fps'),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55',
        data_root='data',
        split='train',
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55Completion',
        data_root='data',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
