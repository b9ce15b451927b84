# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./sparsebox_minkunet-tiny_1xb4-12e_synthetic-rooms_ft.py']
model = dict(init_cfg=None)
custom_hooks = []
