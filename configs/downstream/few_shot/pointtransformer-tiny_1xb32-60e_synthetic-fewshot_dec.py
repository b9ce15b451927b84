# The encoder stays frozen, the MLP head learns.
_base_ = './pointtransformer-tiny_1xb32-60e_synthetic-fewshot_ft.py'

model = dict(freeze_backbone=True, head=dict(input_norm=True))
