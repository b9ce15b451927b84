# Small: the protocol of ShapeNet-55 on real shapes, 1024 points of which 256 are seen; the test
# removes half of the points from a corner that depends on the shape's name alone.
_data = '{{$MM3D_DATA:../shared/data}}'
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=1024),
    dict(type='NormalizePoints'),
    # the orientation of Shapes69 is not consistent
    dict(type='RandomRotate', axis='so3'),
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
        type='Shapes69',
        data_root=f'{_data}/shapes69',
        split='train',
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
        type='Shapes69',
        data_root=f'{_data}/shapes69',
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
