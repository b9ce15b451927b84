# As _scratch, with torchvision's supervised ImageNet weights on the pictures that these expect.
_base_ = ['./fcos3d_resnet50_8xb2-12e_nuscenes_scratch.py']
model = dict(
    backbone=dict(
        init_cfg=dict(_delete_=True, type='Pretrained', checkpoint='torchvision://resnet50')
    )
)
custom_hooks = [dict(type='mm3dpretrain.LoadReportHook')]
