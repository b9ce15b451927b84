# Fine-tuning on ScanObjectNN PB-T50-RS with 2048 points and 128 patches, as Point-MAE and later
# works do (Point-BERT: 1024 points, 64 patches).
_base_ = [
    '../../_base_/models/drpoint_pointtransformer.py',
    '../../_base_/datasets/scanobjectnn_cls.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/classification_300e.py',
]

model = dict(
    _delete_=True,
    type='PointClassifier',
    backbone=dict(
        _base_.model.point_encoder,
        num_groups=128,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(type='ClassificationHead', in_channels=768, num_classes=15),
)
