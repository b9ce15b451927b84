# GroupFree3D on ScanNet with the pre-trained point transformer in place of PointNet++; mmdet3d's
# own data, head and schedule.
_base_ = ['mmdet3d::groupfree3d/groupfree3d_head-L6-O256_4xb8_scannet-seg.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='mm3dpretrain.PointTransformerBackbone',
        num_groups=512,
        group_size=32,
        num_seeds=1024,
        fp_channels=(256, 288),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='point_encoder.',
        ),
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
