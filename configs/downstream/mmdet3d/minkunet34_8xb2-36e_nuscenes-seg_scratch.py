# As _ft, from random weights.
_base_ = ['./minkunet34_8xb2-36e_nuscenes-seg_ft.py']
model = dict(backbone=dict(init_cfg=None))
custom_hooks = []
