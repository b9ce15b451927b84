# Small: retrieval among the embedded shapes, all their views and captions. Needs the cache of
# tools/precompute_embeddings.py for the test split.
_base_ = './mrd_ppat-tiny_synthetic_zeroshot.py'

test_pipeline = [
    dict(type='LoadPoints', attributes=['rgb']),
    dict(type='LoadEmbeddings', cache_dir='data/embeddings/synthetic_test'),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    dict(type='FillColors'),
    dict(
        type='PackTriplets',
        meta_keys=[
            'sample_id',
            'gravity_axis',
            'normalization',
            'point_channels',
            'embedding_key',
            'image_features',
            'text_features',
        ],
    ),
]
test_dataloader = dict(dataset=dict(images='required', pipeline=test_pipeline))
test_evaluator = dict(_delete_=True, type='RetrievalMetric')
