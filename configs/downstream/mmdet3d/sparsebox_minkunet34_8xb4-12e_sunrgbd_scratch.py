# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./sparsebox_minkunet34_8xb4-12e_sunrgbd_ft.py']
model = dict(init_cfg=None)
custom_hooks = []
