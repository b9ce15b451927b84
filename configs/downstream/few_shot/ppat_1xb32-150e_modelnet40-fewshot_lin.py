# The encoder stays frozen, a linear layer learns.
_base_ = './ppat_1xb32-150e_modelnet40-fewshot_ft.py'

model = dict(freeze_backbone=True, head=dict(hidden_channels=(), input_norm=True))
