# Small: parts of the embedded shapes, on two CPU cores.
_base_ = [
    '../../_base_/models/drpoint_pointtransformer-tiny.py',
    '../../_base_/datasets/synthetic_shapes_parts.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/part_seg_small.py',
]

model = dict(
    _delete_=True,
    type='PartSegmentor',
    backbone=dict(
        _base_.model.point_encoder,
        out_indices=(1, 2, 3),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer-tiny_1xb32-20e_synthetic/epoch_20.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(
        type='PartSegHead',
        in_channels=288,
        num_parts=143,
        num_categories=27,
        prop_channels=(256, 128),
        label_channels=32,
        hidden_channels=(128, 128),
    ),
)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=10))
