# Small: parts of real shapes, 19 categories, 94 parts, 285 + 38 shapes, 1024 of 2048 points.
_data = '{{$MM3D_DATA:../shared/data}}'
train_pipeline = [
    dict(type='LoadPoints', load_part=True),
    dict(type='SamplePoints', num_points=1024, allow_repeat=True),
    dict(type='NormalizePoints'),
    # the orientation of this set is not consistent
    dict(type='RandomRotate', axis='so3'),
    dict(type='RandomScaleShift', scale=(0.8, 1.25), shift=0.1),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadPoints', load_part=True),
    dict(type='SamplePoints', num_points=1024, allow_repeat=True),
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
        type='Lpsb19Parts',
        data_root=f'{_data}/lpsb19_parts',
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
        type='Lpsb19Parts',
        data_root=f'{_data}/lpsb19_parts',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
