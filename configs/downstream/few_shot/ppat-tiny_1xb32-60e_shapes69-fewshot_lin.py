# The encoder stays frozen, a linear layer learns.
_base_ = './ppat-tiny_1xb32-60e_shapes69-fewshot_ft.py'

model = dict(freeze_backbone=True, head=dict(hidden_channels=(), input_norm=True))
