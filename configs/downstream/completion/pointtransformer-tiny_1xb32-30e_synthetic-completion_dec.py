# The encoder stays frozen, the head learns.
_base_ = './pointtransformer-tiny_1xb32-30e_synthetic-completion_ft.py'

model = dict(freeze_backbone=True, head=dict(input_norm=True))
