# Small: few-shot tasks of the embedded shapes (data/synthetic), supports of the training split,
# 16 queries a class of the test split; tools/few_shot.py sets way, shot and fold.
_source = dict(type='ShapeNet55', data_root='data/synthetic', expected_count=None)
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
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
        query_source=dict(split='test', **_source),
        way=5,
        shot=10,
        queries=16,
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
        query_source=dict(split='test', **_source),
        way=5,
        shot=10,
        queries=16,
        fold=0,
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
