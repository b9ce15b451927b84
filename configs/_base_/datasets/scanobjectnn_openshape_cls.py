# Zero-shot classification of ScanObjectNN as OpenShape prepares it. Scans of fewer than 10,000
# points are drawn from with repetition: the score depends on the seed, which is fixed here.
test_pipeline = [
    dict(type='LoadPoints', attributes=['rgb']),
    dict(type='SamplePoints', num_points=10000, allow_repeat=True),
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
        type='OpenShapeScanObjectNN',
        data_root='data/openshape/meta_data',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
