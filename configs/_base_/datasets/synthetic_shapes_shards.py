# Small: the embedded shapes with their embeddings as shards, for training by iterations:
# tools/dataset_converters/make_shards.py configs/_base_/datasets/synthetic_shapes_embeddings.py \
#     --out data/synthetic_shards --samples-per-shard 256
train_pipeline = [
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
    persistent_workers=False,
    # a stream shuffles and divides itself
    sampler=None,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ShardedTriplets',
        shards='data/synthetic_shards',
        shuffle_buffer=256,
        pipeline=train_pipeline,
    ),
)
