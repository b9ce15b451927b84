# Fine-tuning on ModelNet40, 1024 points. Label smoothing: model.head.label_smooth=0.2 (off in the
# Point-BERT suite unless asked for).
_base_ = [
    '../../_base_/models/drpoint_pointtransformer.py',
    '../../_base_/datasets/modelnet40_cls.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/classification_300e.py',
]

model = dict(
    _delete_=True,
    type='PointClassifier',
    backbone=dict(
        _base_.model.point_encoder,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(type='ClassificationHead', in_channels=768, num_classes=40),
)
