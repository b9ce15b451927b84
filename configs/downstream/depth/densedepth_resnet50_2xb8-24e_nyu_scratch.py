# As _ft, from random weights: what the pre-training has to beat.
_base_ = './densedepth_resnet50_2xb8-24e_nyu_ft.py'

model = dict(backbone=dict(init_cfg=None))
