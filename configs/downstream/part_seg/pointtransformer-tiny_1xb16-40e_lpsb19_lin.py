# The encoder stays frozen; one linear layer over interpolated patch features, their maximum and
# mean, and the category learns.
_base_ = './pointtransformer-tiny_1xb16-40e_lpsb19_ft.py'

model = dict(
    freeze_backbone=True,
    head=dict(
        prop_channels=(),
        label_channels=0,
        hidden_channels=(),
        with_xyz=False,
        input_norm=True,
    ),
)
