# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./votenet_pointtransformer-tiny_1xb4-8e_synthetic-rooms_ft.py']
model = dict(backbone=dict(init_cfg=None))
custom_hooks = []
