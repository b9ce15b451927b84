# Small: few-shot tasks of real shapes from an MRD encoder; run all folds with tools/few_shot.py.
_base_ = [
    '../../_base_/models/mrd_ppat-tiny.py',
    '../../_base_/datasets/shapes69_fewshot.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/few_shot_small.py',
]

model = dict(
    _delete_=True,
    type='PointClassifier',
    backbone=dict(
        _base_.model.point_encoder,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/mrd_ppat-tiny_1xb64-20e_cc0-shapes69/epoch_20.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(type='ClassificationHead', in_channels=96, num_classes=5),
)
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='FillColors'),
    dict(type='PackTriplets'),
]
test_pipeline = [
    *_base_.test_pipeline[:-1],
    dict(type='FillColors'),
    dict(type='PackTriplets'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=20))
