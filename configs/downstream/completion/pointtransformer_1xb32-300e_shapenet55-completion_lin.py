# The encoder stays frozen, one linear layer from its global feature to 2048 points learns.
_base_ = './pointtransformer_1xb32-300e_shapenet55-completion_ft.py'

model = dict(
    freeze_backbone=True,
    merge_input=False,
    head=dict(num_coarse=2048, hidden_channels=(), upsampler=None, input_norm=True),
)
