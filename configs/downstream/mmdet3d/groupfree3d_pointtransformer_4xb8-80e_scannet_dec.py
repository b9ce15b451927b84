# As _ft, with a frozen encoder: what the pre-trained features hold by themselves.
_base_ = ['./groupfree3d_pointtransformer_4xb8-80e_scannet_ft.py']
model = dict(backbone=dict(frozen=True))
