# OpenShape's training data, one file a shape: 10,000 coloured points with features of OpenCLIP's
# ViT-bigG-14, augmented as OpenShape does. Published splits: train_all (Ensembled), train_no_lvis.
train_pipeline = [
    dict(type='LoadPoints', attributes=['rgb']),
    dict(type='PickEmbeddings', embed_dim=1280),
    dict(type='SamplePoints', num_points=10000),
    dict(type='NormalizePoints'),
    dict(type='DropPoints', max_ratio=0.875),
    dict(type='RandomScaleShift', scale=(0.8, 1.25), shift=0.1),
    dict(type='TiltPoints', sigma=0.06, clip=0.18),
    dict(type='RandomRotate', axis='gravity'),
    dict(type='FillColors', drop_prob=0.5),
    dict(type='PackTriplets'),
]
train_dataloader = dict(
    batch_size=200,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='SeededSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='OpenShapeTriplets',
        data_root='data/openshape',
        split='train_all',
        on_error='skip',
        pipeline=train_pipeline,
    ),
)
