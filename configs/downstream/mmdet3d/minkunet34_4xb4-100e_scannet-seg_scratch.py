# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./minkunet34_4xb4-100e_scannet-seg_ft.py']
model = dict(init_cfg=None)
custom_hooks = []
