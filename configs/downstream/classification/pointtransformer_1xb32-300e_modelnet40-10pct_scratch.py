# As _ft, from random weights: what the pre-training has to beat.
_base_ = './pointtransformer_1xb32-300e_modelnet40-10pct_ft.py'

model = dict(backbone=dict(init_cfg=None))
