# As _ft, with a frozen encoder: what the pre-trained features hold by themselves.
_base_ = ['./votenet_pointtransformer_8xb16-36e_sunrgbd_ft.py']
model = dict(backbone=dict(frozen=True))
