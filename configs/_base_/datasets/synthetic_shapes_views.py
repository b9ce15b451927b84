# Small: 64 x 64 views and captions of the embedded shapes, without their points (data/synthetic).
classes = (
    'chair', 'stool', 'bench', 'sofa', 'table', 'desk', 'bed', 'piano', 'bookshelf', 'cabinet',
    'mug', 'bowl', 'vase', 'bottle', 'bathtub', 'car', 'bus', 'airplane', 'rocket', 'ship', 'lamp',
    'umbrella', 'guitar', 'hammer', 'headphones', 'monitor', 'laptop',
)  # fmt: skip
train_pipeline = [
    dict(type='LoadView', load_cameras=False),
    dict(type='ResizeView', size=64),
    dict(type='ColorJitterView', brightness=0.2, contrast=0.2, saturation=0.2),
    dict(type='RandomFlipView', prob=0.5),
    dict(type='PackTriplets'),
]
test_pipeline = [
    dict(type='LoadView', num_views=4, which='first', load_cameras=False),
    dict(type='ResizeView', size=64),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55',
        data_root='data/synthetic',
        split='train',
        images='required',
        expected_count=None,
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededSampler', shuffle=False, round_up=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55',
        data_root='data/synthetic',
        split='test',
        images='required',
        expected_count=None,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
