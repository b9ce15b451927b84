# Small: 512 points and a 64 x 64 view of the embedded shapes, written to data/synthetic by
# tools/dataset_converters/create_synthetic_shapes.py and read by the loader of ShapeNet-55.
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='LoadView', load_cameras=False),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    dict(type='RandomScaleShift', scale=(2 / 3, 3 / 2), shift=0.2),
    dict(type='ResizeView', size=64),
    dict(type='ColorJitterView', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='RandomFlipView', prob=0.5),
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
        type='ShapeNet55',
        data_root='data/synthetic',
        split='train',
        images='required',
        expected_count=None,
        pipeline=train_pipeline,
    ),
)
