# Small, real shapes, points only: what the tokenizer is trained on.
_data = '{{$MM3D_DATA:../shared/data}}'
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    # the orientation of Shapes69 is not consistent
    dict(type='RandomRotate', axis='so3'),
    dict(type='RandomScaleShift', scale=(2 / 3, 3 / 2), shift=0.2),
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
                pipeline=train_pipeline,
            ),
            dict(
                type='Shapes69',
                data_root=f'{_data}/shapes69',
                split='train',
                pipeline=train_pipeline,
            ),
        ],
    ),
)
