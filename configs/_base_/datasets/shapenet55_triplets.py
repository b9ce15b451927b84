# Full size: 1024 points and a 224 x 224 view of each ShapeNet-55 shape that has pictures.
# Points as Point-BERT prepares them, views as CrossPoint does; what DR-Point did is not known.
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='LoadView', load_cameras=False),
    dict(type='SamplePoints', num_points=1024),
    dict(type='NormalizePoints'),
    dict(type='RandomScaleShift', scale=(2 / 3, 3 / 2), shift=0.2),
    dict(type='ResizeView', size=224),
    dict(type='ColorJitterView', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='RandomFlipView', prob=0.5),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShapeNet55',
        data_root='data',
        whole=True,
        # 13 of the 55 categories with the pictures of 3D-R2N2; see docs/datasets.md for the others
        images='required',
        on_error='skip',
        pipeline=train_pipeline,
    ),
)
