# As _ft, from random weights: what the pre-training has to beat.
_base_ = './pointtransformer-tiny_1xb32-30e_shapes69-completion_ft.py'

model = dict(backbone=dict(init_cfg=None))
