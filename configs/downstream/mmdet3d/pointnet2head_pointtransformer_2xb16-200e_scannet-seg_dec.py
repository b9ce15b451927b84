# As _ft, with a frozen encoder.
_base_ = ['./pointnet2head_pointtransformer_2xb16-200e_scannet-seg_ft.py']
model = dict(backbone=dict(frozen=True))
