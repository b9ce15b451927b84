# ShapeNetPart, 2048 points, 128 patches, features of blocks 4, 8 and 12: head and optimiser after
# Point-MAE's released code. What DR-Point used is not known.
_base_ = [
    '../../_base_/models/drpoint_pointtransformer.py',
    '../../_base_/datasets/shapenetpart.py',
    '../../_base_/default_runtime.py',
    '../../_base_/schedules/part_seg_300e.py',
]

model = dict(
    _delete_=True,
    type='PartSegmentor',
    backbone=dict(
        _base_.model.point_encoder,
        num_groups=128,
        out_indices=(3, 7, 11),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='point_encoder.',
        ),
    ),
    head=dict(type='PartSegHead', in_channels=1152, num_parts=50, num_categories=16),
)
