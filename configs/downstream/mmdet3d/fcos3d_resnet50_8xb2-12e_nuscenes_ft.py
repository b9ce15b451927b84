# FCOS3D on nuScenes with a pre-trained ResNet-50: any checkpoint that holds mmdet's ResNet-50 below
# the prefix. Deformable convolutions in stages 3 and 4 take the weights of the plain ones; their
# offsets start from zero. Pictures are normalised as in the pre-training.
_base_ = ['mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        depth=50,
        style='pytorch',
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='work_dirs/drpoint_pointtransformer_8xb16-300e_shapenet55/epoch_300.pth',
            prefix='image_encoder.backbone.',
        ),
    ),
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
