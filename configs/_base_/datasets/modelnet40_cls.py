# ModelNet40 for fine-tuning, as in the Point-BERT suite: FPS to 1200, then 1024 at random.
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
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ModelNetResampled',
        data_root='data/ModelNet/modelnet40_normal_resampled',
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
        type='ModelNetResampled',
        data_root='data/ModelNet/modelnet40_normal_resampled',
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
