# Small: fine-tuning on real shapes of 69 classes with the labels of a tenth of every class, by the
# list of label_seed 0. Another share or list:
#   --cfg-options train_dataloader.dataset.label_fraction=0.25 train_dataloader.dataset.label_seed=1
_base_ = [
    '../../_base_/models/drpoint_pointtransformer-tiny.py',
    '../../_base_/datasets/shapes69_cls.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/classification_small_10pct.py',
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
train_dataloader = dict(dataset=dict(label_fraction=0.1, label_seed=0))
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=50))
