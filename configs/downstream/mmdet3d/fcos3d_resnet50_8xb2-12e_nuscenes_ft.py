# As _scratch, with the image encoder of a DR-Point pre-training: any checkpoint that holds mmdet's
# ResNet-50 below the prefix.
_base_ = ['./fcos3d_resnet50_8xb2-12e_nuscenes_scratch.py']
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='image_encoder.backbone.',
        )
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
