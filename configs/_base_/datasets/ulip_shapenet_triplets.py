# ULIP's triplets of ShapeNet-55, for pictures and names instead of published features. First
# tools/precompute_embeddings.py with this file, a teacher and --out data/embeddings/ulip_shapenet.
train_pipeline = [
    dict(type='LoadPoints'),
    dict(type='LoadEmbeddings', cache_dir='data/embeddings/ulip_shapenet'),
    dict(type='PickEmbeddings'),
    dict(type='SamplePoints', num_points=8192),
    dict(type='NormalizePoints'),
    dict(type='DropPoints', max_ratio=0.875),
    dict(type='RandomScaleShift', scale=(0.8, 1.25), shift=0.1),
    dict(type='TiltPoints', sigma=0.06, clip=0.18),
    dict(type='RandomRotate', axis='gravity'),
    dict(type='FillColors', drop_prob=0.5),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ULIPTriplets',
        data_root='data/shapenet-55',
        split='train',
        images='required',
        on_error='skip',
        pipeline=train_pipeline,
    ),
)
