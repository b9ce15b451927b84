# As _ft, with a frozen encoder.
_base_ = ['./pointnet2head_pointtransformer-tiny_1xb4-24e_synthetic-rooms-seg_ft.py']
model = dict(backbone=dict(frozen=True))
