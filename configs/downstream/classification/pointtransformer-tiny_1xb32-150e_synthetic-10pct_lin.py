# The encoder stays frozen, a linear layer learns.
_base_ = './pointtransformer-tiny_1xb32-150e_synthetic-10pct_ft.py'

model = dict(freeze_backbone=True, head=dict(hidden_channels=(), input_norm=True))
