# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./groupfree3d_pointtransformer_4xb8-80e_scannet_ft.py']
model = dict(backbone=dict(init_cfg=None))
custom_hooks = []
