# MVX-Net on KITTI (each epoch sees the set twice) with a random ResNet-50. This file is what all
# starting points of the image branch share, so that nothing but the weights differs: no frozen
# stage, batch norms that learn, RGB pictures minus the ImageNet mean over its deviation (mmdet3d's
# own config has them BGR and undivided, for Caffe weights).
_base_ = ['mmdet3d::mvxnet/mvxnet_fpn_dv_second_secfpn_8xb2-80e_kitti-3d-3class.py']
custom_imports = dict(imports=['mm3dpretrain'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    img_backbone=dict(
        style='pytorch',
        frozen_stages=-1,
        norm_cfg=dict(requires_grad=True),
        norm_eval=False,
    ),
)
# the config's own starting point is a whole detector of another training
load_from = None
