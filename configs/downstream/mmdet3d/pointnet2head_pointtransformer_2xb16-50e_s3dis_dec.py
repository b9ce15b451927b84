# As _ft, with a frozen encoder.
_base_ = ['./pointnet2head_pointtransformer_2xb16-50e_s3dis_ft.py']
model = dict(backbone=dict(frozen=True))
