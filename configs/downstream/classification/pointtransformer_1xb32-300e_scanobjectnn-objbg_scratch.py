# As _ft, from random weights: what the pre-training has to beat.
_base_ = './pointtransformer_1xb32-300e_scanobjectnn-objbg_ft.py'

model = dict(backbone=dict(init_cfg=None))
