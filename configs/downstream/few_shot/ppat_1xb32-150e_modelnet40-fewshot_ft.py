# Few-shot ModelNet40 from an MRD encoder, fold 0 of 5-way 10-shot; run all folds with
# tools/few_shot.py.
_base_ = [
    '../../_base_/models/mrd_ppat.py',
    '../../_base_/datasets/modelnet40_fewshot.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/few_shot_150e.py',
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
    head=dict(type='ClassificationHead', in_channels=512, num_classes=5),
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
default_hooks = dict(checkpoint=dict(interval=50))
