# Small, real shapes without labels: CC0 objects and the training split of Shapes69, 512 points
# and one of 12 rendered 64 x 64 views. The views are rendered once and kept in data/cache.
_data = '{{$MM3D_DATA:../shared/data}}'
_views = dict(num_views=12, image_size=64)
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='LoadView', load_cameras=False),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    # the orientation of Shapes69 is not consistent
    dict(type='RandomRotate', axis='so3'),
    dict(type='RandomScaleShift', scale=(2 / 3, 3 / 2), shift=0.2),
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
        type='ConcatDataset',
        datasets=[
            dict(
                type='Cc0Objects',
                data_root=f'{_data}/cc0_objects',
                split='all',
                views=_views,
                pipeline=train_pipeline,
            ),
            dict(
                type='Shapes69',
                data_root=f'{_data}/shapes69',
                split='train',
                views=_views,
                pipeline=train_pipeline,
            ),
        ],
    ),
)
