# As _ft, from random weights: what the pre-training has to beat.
_base_ = './densedepth_resnet18-tiny_1xb4-70e_kitti-raw-seq_ft.py'

model = dict(backbone=dict(init_cfg=None))
