# The encoder stays frozen, the head learns.
_base_ = './pointtransformer-tiny_1xb16-40e_synthetic-parts_ft.py'

model = dict(freeze_backbone=True, head=dict(input_norm=True))
