# MVX-Net on KITTI (each epoch sees the set twice) with a pre-trained image encoder: any checkpoint
# that holds mmdet's ResNet-50 below the prefix. The pictures are normalised as they were in the
# pre-training (RGB, ImageNet mean and deviation), not as mmdet3d's own config has them for Caffe
# weights.
_base_ = ['mmdet3d::mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    img_backbone=dict(
        style='pytorch',
        frozen_stages=1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='image_encoder.backbone.',
        ),
    ),
)
# the config's own starting point is a whole detector of another training
load_from = None
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
