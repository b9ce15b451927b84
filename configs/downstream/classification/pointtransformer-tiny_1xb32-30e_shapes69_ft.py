# Small: fine-tuning on real shapes of 69 classes, on two CPU cores.
_base_ = [
    '../../_base_/models/drpoint_pointtransformer-tiny.py',
    '../../_base_/datasets/shapes69_cls.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/classification_small.py',
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
    head=dict(type='ClassificationHead', in_channels=192, num_classes=69),
)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
