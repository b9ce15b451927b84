# The encoder stays frozen, the MLP head learns.
_base_ = './pointtransformer_1xb32-150e_modelnet40-fewshot_ft.py'

model = dict(freeze_backbone=True, head=dict(input_norm=True))
