# Zero-shot classification of Objaverse-LVIS, 1156 categories in alphabetical order.
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
        type='OpenShapeTriplets',
        data_root='data/openshape',
        split='lvis',
        text_sources=(),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
