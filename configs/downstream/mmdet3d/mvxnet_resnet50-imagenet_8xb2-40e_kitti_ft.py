# As _scratch, with torchvision's supervised ImageNet weights on the pictures that these expect.
_base_ = ['./mvxnet_resnet50_8xb2-40e_kitti_scratch.py']
model = dict(
    img_backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'))
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
