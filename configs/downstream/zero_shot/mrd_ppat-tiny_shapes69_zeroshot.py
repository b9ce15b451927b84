# Small: zero-shot classification of real shapes, 69 classes, with real text embeddings of CLIP
# ViT-B-32:
#   tools/test.py THIS_FILE CHECKPOINT
# Only among classes that the training left out:
#   --cfg-options "test_evaluator.classes=['Bed','Bird','Bus','Cup','Door','Fish']"
_base_ = [
    '../../_base_/models/mrd_ppat-tiny.py',
    '../../_base_/datasets/shapes69_cls.py',
    '../../_base_/text_spaces/bank_vit-b-32_shapes69.py',
    '../../_base_/default_runtime.py',
]

train_dataloader = None
test_pipeline = [
    dict(type='LoadPoints'),
    dict(type='SamplePoints', num_points=512),
    dict(type='NormalizePoints'),
    dict(type='FillColors'),
    dict(type='PackTriplets'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = dict(
    type='ZeroShotMetric',
    class_embeddings=dict(text_space=_base_.text_space, prompts=_base_.prompts),
)
test_cfg = dict()
