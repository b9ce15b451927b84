# The encoder stays frozen, a linear layer learns.
_base_ = './ppat_1xb32-300e_modelnet40_ft.py'

model = dict(freeze_backbone=True, head=dict(hidden_channels=(), input_norm=True))
