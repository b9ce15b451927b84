# As _ft, from random weights: what the pre-training has to beat.
_base_ = './pointtransformer-tiny_1xb16-40e_synthetic-parts_ft.py'

model = dict(backbone=dict(init_cfg=None))
