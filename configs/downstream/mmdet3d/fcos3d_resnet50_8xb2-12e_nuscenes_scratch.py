# FCOS3D on nuScenes with a random ResNet-50. This file is what all starting points share, so that
# nothing but the weights differs: no frozen stage, batch norms that learn, RGB pictures minus the
# ImageNet mean over its deviation. Deformable convolutions in stages 3 and 4 take the weights of
# the plain ones; their offsets start from zero.
_base_ = ['mmdet3d::fcos3d/fcos3d_r101-caffe-dcn_fpn_head-gn_8xb2-1x_nus-mono3d.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        depth=50,
        style='pytorch',
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
)
