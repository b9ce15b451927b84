# ScanObjectNN for fine-tuning; all 2048 points, as Point-MAE and later works take them.
# The other variants: dataset.variant = 'obj_bg' or 'obj_only' in both data loaders.
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=2048),
    dict(type='NormalizePoints'),
    dict(type='RandomScaleShift', scale=(2 / 3, 3 / 2), shift=0.2),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=2048, method='first'),
    dict(type='NormalizePoints'),
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
        type='ScanObjectNN',
        data_root='data/ScanObjectNN',
        variant='pb_t50_rs',
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
        type='ScanObjectNN',
        data_root='data/ScanObjectNN',
        variant='pb_t50_rs',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
