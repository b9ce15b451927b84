# Few-shot ModelNet40, fold 0 of 5-way 10-shot; run all folds with tools/few_shot.py.
_base_ = [
    '../../_base_/models/drpoint_pointtransformer.py',
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
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(type='ClassificationHead', in_channels=768, num_classes=5),
)
default_hooks = dict(checkpoint=dict(interval=50))
