# As _scratch, with the image encoder of a DR-Point pre-training: any checkpoint that holds mmdet's
# ResNet-50 below the prefix.
_base_ = ['./mvxnet_resnet50_8xb2-40e_kitti_scratch.py']
model = dict(
    img_backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='image_encoder.backbone.',
        )
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
