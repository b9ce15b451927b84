# Small: the protocol of ShapeNet-55 on the embedded shapes (data/synthetic), 1024 points of which
# 256 are seen; the test removes 25, 50 and 75 % from 2 corners.
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=1024),
    dict(type='NormalizePoints'),
    dict(type='RemoveNearest', ratio=(0.25, 0.75), viewpoint='random'),
    dict(type='SamplePoints', num_points=256, method='fps'),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=1024, method='first'),
    dict(type='NormalizePoints'),
    dict(type='RemoveNearest', ratio=0.5, viewpoint='corner'),
    dict(type='SamplePoints', num_points=256, method='fps'),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55',
        data_root='data/synthetic',
        split='train',
        expected_count=None,
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55Completion',
        data_root='data/synthetic',
        split='test',
        expected_count=None,
        num_viewpoints=2,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
