# The encoder stays frozen, the head learns.
_base_ = './pointtransformer_1xb32-300e_shapenet55-completion_ft.py'

model = dict(freeze_backbone=True, head=dict(input_norm=True))
