# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./pointnet2head_pointtransformer-tiny_1xb4-24e_synthetic-rooms-seg_ft.py']
model = dict(backbone=dict(init_cfg=None))
custom_hooks = []
