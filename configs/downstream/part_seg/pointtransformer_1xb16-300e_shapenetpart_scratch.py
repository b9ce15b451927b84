# As _ft, from random weights: what the pre-training has to beat.
_base_ = './pointtransformer_1xb16-300e_shapenetpart_ft.py'

model = dict(backbone=dict(init_cfg=None))
