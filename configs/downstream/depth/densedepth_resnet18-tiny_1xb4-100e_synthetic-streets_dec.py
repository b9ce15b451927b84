# The encoder stays frozen, the decoder learns.
_base_ = './densedepth_resnet18-tiny_1xb4-100e_synthetic-streets_ft.py'

model = dict(freeze_backbone=True)
