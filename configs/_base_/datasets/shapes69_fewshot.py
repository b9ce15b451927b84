# Small: few-shot tasks of real shapes, supports of the training split, 5 queries a class of the
# validation split (few classes have more there); tools/few_shot.py sets way, shot and fold.
_data = '{{$MM3D_DATA:../shared/data}}'
_source = dict(type='Shapes69', data_root=f'{_data}/shapes69')
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    # the orientation of Shapes69 is not consistent
    dict(type='RandomRotate', axis='so3'),
    dict(type='RandomScaleShift', scale=(2 / 3, 3 / 2), shift=0.2),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=512, method='fps'),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='FewShotFold',
        source=dict(split='train', **_source),
        query_source=dict(split='val', **_source),
        way=5,
        shot=10,
        queries=5,
        fold=0,
        split='train',
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='FewShotFold',
        source=dict(split='train', **_source),
        query_source=dict(split='val', **_source),
        way=5,
        shot=10,
        queries=5,
        fold=0,
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
