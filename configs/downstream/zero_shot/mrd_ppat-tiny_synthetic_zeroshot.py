# Small: zero-shot classification of the embedded shapes, with the embedded teacher's words:
#   tools/dataset_converters/make_class_embeddings.py --out data/class_embeddings/synthetic.npz \
#       --text configs/_base_/text_spaces/clip_tiny.py \
#       --data configs/_base_/datasets/synthetic_shapes_cls.py
#   tools/test.py THIS_FILE CHECKPOINT
_base_ = [
    '../../_base_/models/mrd_ppat-tiny.py',
    '../../_base_/datasets/synthetic_shapes_cls.py',
    '../../_base_/default_runtime.py',
]

model = dict(embed_dim=128)
train_dataloader = None
test_pipeline = [
    dict(type='LoadPoints', attributes=['rgb']),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    dict(type='FillColors'),
    dict(type='PackTriplets'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = dict(
    type='ZeroShotMetric',
    class_embeddings='data/class_embeddings/synthetic.npz',
)
test_cfg = dict()
