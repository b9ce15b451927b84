# NYU Depth v2, pipeline of the public depth toolbox; evaluated in Eigen's crop up to 10 m.
data_root = 'data/nyu'
train_pipeline = [
    dict(type='LoadDepthImage'),
    dict(type='LoadDepth'),
    dict(type='NYUCrop'),
    dict(type='RandomRotateDepth', prob=0.5, degrees=2.5),
    dict(type='RandomFlipDepth'),
    dict(type='RandomCropDepth', size=(416, 544)),
    dict(type='RandomGammaColor', brightness=(0.75, 1.25)),
    dict(type='PackDepth'),
]
test_pipeline = [
    dict(type='LoadDepthImage'),
    dict(type='LoadDepth'),
    dict(type='PackDepth'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(type='NYUDepth', data_root=data_root, split='train', pipeline=train_pipeline),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='NYUDepth', data_root=data_root, split='test', test_mode=True, pipeline=test_pipeline
    ),
)
test_evaluator = dict(type='DepthMetric', max_depth=10.0, crop='nyu')
