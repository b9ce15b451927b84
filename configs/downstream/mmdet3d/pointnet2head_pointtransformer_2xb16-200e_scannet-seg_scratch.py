# As _ft, from random weights.
_base_ = ['./pointnet2head_pointtransformer_2xb16-200e_scannet-seg_ft.py']
model = dict(backbone=dict(init_cfg=None))
custom_hooks = []
