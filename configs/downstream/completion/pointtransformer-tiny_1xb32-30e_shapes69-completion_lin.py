# The encoder stays frozen, one linear layer from its global feature to 1024 points learns.
_base_ = './pointtransformer-tiny_1xb32-30e_shapes69-completion_ft.py'

model = dict(
    freeze_backbone=True,
    merge_input=False,
    head=dict(num_coarse=1024, hidden_channels=(), upsampler=None, input_norm=True),
)
