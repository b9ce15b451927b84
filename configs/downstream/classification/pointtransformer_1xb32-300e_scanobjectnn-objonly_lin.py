# The encoder stays frozen, a linear layer learns.
_base_ = './pointtransformer_1xb32-300e_scanobjectnn-objonly_ft.py'

model = dict(freeze_backbone=True, head=dict(hidden_channels=(), input_norm=True))
