# As _ft, from ImageNet labels. The base normalises RGB by ImageNet's mean and deviation, which is
# what these weights were trained with.
_base_ = './densedepth_resnet50_2xb8-24e_kitti_ft.py'

model = dict(
    backbone=dict(
        init_cfg=dict(_delete_=True, type='Pretrained', checkpoint='torchvision://resnet50')
    )
)
