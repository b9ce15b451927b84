# Small, real shapes: CC0 objects and the training split of Shapes69 without the classes in
# `held_out`, with embeddings of 12 rendered 64 x 64 views and of the name or class of a shape.
_base_ = '../shapes69_held_out.py'

_data = '{{$MM3D_DATA:../shared/data}}'
_cache = 'data/embeddings/cc0_shapes69'
_views = dict(num_views=12, image_size=64)
_augmentation = [
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    # the orientation of Shapes69 is not consistent
    dict(type='RandomRotate', axis='so3'),
    dict(type='RandomScaleShift', scale=(0.8, 1.25), shift=0.1),
    # Shapes69 has no colours
    dict(type='FillColors', drop_prob=0.5),
    dict(type='PackTriplets'),
]
_embeddings = [
    dict(type='LoadEmbeddings', cache_dir=_cache),
    dict(type='PickEmbeddings', embed_dim=512),
]
train_dataloader = dict(
    batch_size=64,
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
                pipeline=[
                    dict(type='LoadPoints', attributes=['rgb']),
                    *_embeddings,
                    *_augmentation,
                ],
            ),
            dict(
                type='Shapes69',
                data_root=f'{_data}/shapes69',
                split='train',
                leave_out=_base_.held_out,
                views=_views,
                pipeline=[dict(type='LoadPoints'), *_embeddings, *_augmentation],
            ),
        ],
    ),
)
