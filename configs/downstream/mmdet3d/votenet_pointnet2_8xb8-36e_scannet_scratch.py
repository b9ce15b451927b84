# As _ft, from random weights: what the pre-training has to beat.
_base_ = ['./votenet_pointnet2_8xb8-36e_scannet_ft.py']
model = dict(init_cfg=None)
custom_hooks = []
