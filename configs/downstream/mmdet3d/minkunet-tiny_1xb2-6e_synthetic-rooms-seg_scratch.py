# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./minkunet-tiny_1xb2-6e_synthetic-rooms-seg_ft.py']
model = dict(init_cfg=None)
custom_hooks = []
