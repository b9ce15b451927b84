# LiDAR segmentation on nuScenes: mmdet3d's MinkUNet-34 on spconv with voxels of 10 cm, started from
# a pre-training with SparseUNetEncoder around the same backbone. All labels.
_base_ = [
    'mmdet3d::_base_/models/minkunet.py',
    '../../_base_/datasets/nuscenes_lidarseg.py',
    'mmdet3d::_base_/schedules/schedule-3x.py',
    'mmdet3d::_base_/default_runtime.py',
]
custom_imports = dict(
    imports=['mm3dpretrain', 'mm3dpretrain.datasets.nuscenes_seg'], allow_failed_imports=False
)

model = dict(
    data_preprocessor=dict(
        batch_first=True, max_voxels=None, voxel_layer=dict(voxel_size=[0.1, 0.1, 0.1])
    ),
    backbone=dict(
        encoder_blocks=[2, 3, 4, 6],
        sparseconv_backend='spconv',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/pretrain_minkunet34/epoch_last.pth',
            prefix='point_encoder.backbone.',
        ),
    ),
    decode_head=dict(num_classes=16, ignore_index=16),
)
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
