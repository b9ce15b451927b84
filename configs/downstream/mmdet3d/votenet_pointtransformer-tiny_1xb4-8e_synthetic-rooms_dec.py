# As _ft, with a frozen encoder: what the pre-trained features hold by themselves.
_base_ = ['./votenet_pointtransformer-tiny_1xb4-8e_synthetic-rooms_ft.py']
model = dict(backbone=dict(frozen=True))
