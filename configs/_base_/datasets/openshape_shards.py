# OpenShape's training data as shards, for training by iterations (ResumableIterTrainLoop):
# tools/dataset_converters/make_shards.py configs/_base_/datasets/openshape_triplets.py \
#     --out data/openshape_shards
train_pipeline = [
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
    persistent_workers=False,
    # a stream shuffles and divides itself
    sampler=None,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShardedTriplets',
        shards='data/openshape_shards',
        shuffle_buffer=1024,
        pipeline=train_pipeline,
    ),
)
