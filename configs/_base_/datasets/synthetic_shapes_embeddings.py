# Small: 512 coloured points of the embedded shapes (data/synthetic) with embeddings that were
# computed before: tools/precompute_embeddings.py with --out data/embeddings/synthetic_train.
train_pipeline = [
    dict(type='LoadPoints', attributes=['rgb']),
    dict(type='LoadEmbeddings', cache_dir='data/embeddings/synthetic_train'),
    dict(type='PickEmbeddings'),
    dict(type='SamplePoints', num_points=512),
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
