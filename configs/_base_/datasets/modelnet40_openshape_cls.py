# Zero-shot classification of ModelNet40's test split as OpenShape prepares it: 10,000 grey points.
test_pipeline = [
    dict(type='LoadPoints', attributes=['rgb']),
    dict(type='SamplePoints', num_points=10000),
    dict(type='NormalizePoints'),
    dict(type='FillColors'),
    dict(type='PackTriplets'),
]
test_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False, seed=0),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='OpenShapeModelNet40',
        data_root='data/openshape/meta_data',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
