# PCN: 2048 partial points to 16384, the test with the first partial cloud of every shape.
train_pipeline = [
    dict(type='LoadCompletionPair', which='random'),
    dict(type='SamplePoints', num_points=2048, allow_repeat=True),
    dict(type='RandomMirror', axes=('x', 'z')),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadCompletionPair', which='first'),
    dict(type='SamplePoints', num_points=2048, allow_repeat=True),
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
        type='PCN',
        data_root='data/PCN',
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
        type='PCN',
        data_root='data/PCN',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
