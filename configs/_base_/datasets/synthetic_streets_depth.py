# Small: depth on SyntheticStreets from 16 labelled frames; the LiDAR is the label. Tested on 25
# frames at full resolution.
# tools/dataset_converters/create_synthetic_streets.py --out data/synthetic_streets --num 125
data_root = 'data/synthetic_streets'
train_pipeline = [
    dict(type='LoadDepthImage'),
    dict(type='LidarDepthTargets'),
    dict(type='ResizeDepth', size=(128, 416)),
    dict(type='RandomFlipDepth'),
    dict(type='RandomCropDepth', size=(112, 352)),
    dict(type='RandomGammaColor'),
    dict(type='PackDepth'),
]
test_pipeline = [
    dict(type='LoadDepthImage'),
    dict(type='LidarDepthTargets'),
    dict(type='ResizeDepth', size=(128, 416), resize_target=False),
    dict(type='PackDepth'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='KittiLidarDepth',
        data_root=data_root,
        split='train',
        indices=16,
        # reading, projecting and resizing are the same in every epoch
        cached_steps=3,
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=5,
    num_workers=1,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='KittiLidarDepth',
        data_root=data_root,
        split='val',
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_evaluator = dict(type='DepthMetric', max_depth=80.0)
