# The encoder stays frozen, the decoder learns.
_base_ = './densedepth_resnet50_2xb8-24e_kitti_ft.py'

model = dict(freeze_backbone=True)
