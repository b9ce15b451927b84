# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./votenet_pointtransformer_8xb8-36e_scannet_ft.py']
model = dict(backbone=dict(init_cfg=None))
custom_hooks = []
