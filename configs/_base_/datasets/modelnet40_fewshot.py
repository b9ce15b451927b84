# The published few-shot folds of ModelNet40; tools/few_shot.py sets way, shot and fold.
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=1024, pre_fps=1200),
    dict(type='NormalizePoints'),
    dict(type='RandomScaleShift', scale=(2 / 3, 3 / 2), shift=0.2),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=1024, method='fps'),
    dict(type='NormalizePoints'),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ModelNetFewShot',
        data_root='data/ModelNetFewshot',
        way=5,
        shot=10,
        fold=0,
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
        type='ModelNetFewShot',
        data_root='data/ModelNetFewshot',
        way=5,
        shot=10,
        fold=0,
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
