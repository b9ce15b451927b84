# Small: few-shot tasks of real shapes; run all folds with tools/few_shot.py.
_base_ = [
    '../../_base_/models/drpoint_pointtransformer-tiny.py',
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
            checkpoint='work_dirs/drpoint_pointtransformer-tiny_1xb32-12e_cc0-shapes69/epoch_12.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(type='ClassificationHead', in_channels=192, num_classes=5),
)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=20))
