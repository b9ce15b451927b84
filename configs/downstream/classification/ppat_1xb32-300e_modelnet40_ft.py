# Fine-tuning of an MRD encoder on ModelNet40: 1024 points, grey.
_base_ = [
    '../../_base_/models/mrd_ppat.py',
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
            checkpoint='work_dirs/mrd_ppat_8xb25-100e_openshape-shapenet/epoch_100.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(type='ClassificationHead', in_channels=512, num_classes=40),
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
